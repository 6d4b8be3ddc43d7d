"""What diffusers' own tests ask of every model, asked of each of the four networks."""

import copy
import hashlib
import logging
import warnings
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers.hooks import group_offloading
from diffusers.training_utils import EMAModel
from networks import NETWORKS, TYPE_ARGUMENTS, correlation, entry, inputs, let_the_cpu_offload, run
from runs import distance

# float32 sums in another order
ROUNDING = 1e-5
WEIGHTS = "diffusion_pytorch_model.safetensors"
STAYS_IN_FLOAT32 = "motion_extractor"
# The contract's saving 8: an adapter's branches, and the query of one key, cannot act on the output.
CANNOT_ACT = ("branch_", "cross_attention.image_proj", "attention.to_q", "attention.to_k")


@pytest.fixture(params=NETWORKS)
def name(request) -> str:
    return request.param


@pytest.fixture
def network(name, tiny_pipeline):
    """Not to be changed."""
    return getattr(tiny_pipeline, name)


@pytest.fixture
def changeable(network):
    return copy.deepcopy(network)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def assert_same_weights(network, expected) -> None:
    weights, expected_weights = network.state_dict(), expected.state_dict()
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[key], expected_weights[key]) for key in weights)


# -- Saving and loading --------------------------------------------------------------------------------------


def test_round_trip_is_byte_identical(network, tmp_path):
    network.save_pretrained(tmp_path / "first")
    loaded, told = type(network).from_pretrained(tmp_path / "first", output_loading_info=True)
    assert told == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    assert_same_weights(loaded, network)
    assert {k: v for k, v in loaded.config.items() if k[0] != "_"} == {
        k: v for k, v in network.config.items() if k[0] != "_"
    }
    assert not loaded.training
    loaded.save_pretrained(tmp_path / "second")
    first, second = digests(tmp_path / "first"), digests(tmp_path / "second")
    assert first.keys() == second.keys() == {"config.json", WEIGHTS}
    assert first[WEIGHTS] == second[WEIGHTS]


def test_variant_and_pieces(network, tmp_path):
    network.save_pretrained(tmp_path, variant="piece", max_shard_size="500KB")
    pieces = list(tmp_path.glob("*.piece-0*.safetensors")) + list(tmp_path.glob("*.piece.safetensors"))
    assert len(pieces) > 1 or network.num_parameters() * 4 < 500_000
    assert_same_weights(type(network).from_pretrained(tmp_path, variant="piece"), network)
    with pytest.raises(OSError, match="diffusion_pytorch_model"):
        type(network).from_pretrained(tmp_path, variant="other")


@pytest.mark.parametrize("low_cpu_mem_usage", [True, False])
def test_either_way_of_loading_gives_the_same(low_cpu_mem_usage, name, network, tiny_model_dir):
    loaded = type(network).from_pretrained(tiny_model_dir / name, low_cpu_mem_usage=low_cpu_mem_usage)
    assert_same_weights(loaded, network)


def test_a_device_map_of_one_device(name, network, tiny_model_dir):
    loaded = type(network).from_pretrained(tiny_model_dir, subfolder=name, device_map={"": "cpu"})
    assert_same_weights(loaded, network)
    with pytest.raises(ValueError, match="does not support `device_map='auto'`"):
        type(network).from_pretrained(tiny_model_dir, subfolder=name, device_map="auto")


def test_auto_model_finds_the_class(name, network, tiny_model_dir):
    loaded = diffusers.AutoModel.from_pretrained(str(tiny_model_dir), subfolder=name)
    assert type(loaded) is type(network)


@pytest.mark.parametrize("argument", TYPE_ARGUMENTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_saved_and_loaded_in_half_precision(dtype, argument, name, network, tmp_path, tiny_model_dir):
    loaded = type(network).from_pretrained(tiny_model_dir / name, **{argument: dtype})
    expected = torch.float32 if name == STAYS_IN_FLOAT32 else dtype
    assert {parameter.dtype for parameter in loaded.parameters()} == {expected}
    assert loaded.dtype == expected
    loaded.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path, **{argument: dtype})
    assert_same_weights(again, loaded)
    whole = type(network).from_pretrained(tmp_path)  # float32 unless told otherwise, as diffusers does
    assert whole.dtype == torch.float32
    assert_same_weights(whole.to(dtype), loaded)


def test_dtype_is_taken_without_a_warning(name, network, tiny_model_dir, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type(network).from_pretrained(tiny_model_dir / name, dtype=torch.float16)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# -- Outputs -------------------------------------------------------------------------------------------------


def test_the_same_again(name, network):
    assert torch.equal(run(network, name), run(network, name))


def test_dict_and_tuple_outputs_are_alike(name, network):
    with torch.no_grad():
        output, plain = network(**inputs(name)), network(**inputs(name), return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == len(output.to_tuple())
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(output.to_tuple(), plain, strict=True))


def test_each_of_a_batch_is_as_alone(name, network):
    together = run(network, name, batch=2)
    assert distance(together[:1], together[1:]) > 0.01
    with torch.no_grad():
        for index in range(2):
            alone = network(**entry(inputs(name, batch=2), index), return_dict=False)[0]
            assert distance(alone, together[index : index + 1]) < ROUNDING


def test_a_deep_copy_is_its_own(name, network, changeable):
    expected = run(network, name)
    assert distance(run(changeable, name), expected) < ROUNDING
    with torch.no_grad():
        for parameter in changeable.parameters():
            parameter.zero_()
    assert torch.equal(run(network, name), expected)


def test_sizes_are_told(network):
    parameters, buffers = list(network.parameters()), list(network.buffers())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    assert network.num_parameters() == sum(parameter.numel() for parameter in parameters)
    assert network.num_parameters(only_trainable=True) == sum(parameter.numel() for parameter in trainable)
    held = [*parameters, *buffers]
    assert network.get_memory_footprint() == sum(tensor.numel() * tensor.element_size() for tensor in held)


# -- Training ------------------------------------------------------------------------------------------------


def gradients(network, name: str) -> dict[str, torch.Tensor]:
    network.zero_grad()
    network(**inputs(name), return_dict=False)[0].square().mean().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def test_every_weight_that_acts_is_trained(name, changeable):
    changeable.train()
    trained = gradients(changeable, name)
    trainable = {name for name, parameter in changeable.named_parameters() if parameter.requires_grad}
    if name == "im_adapter":
        frozen = {key for key in changeable.state_dict() if key.startswith("backbone.")}
        assert trainable == {name for name, _ in changeable.named_parameters()} - frozen
        trainable = {key for key in trainable if not any(part in key for part in CANNOT_ACT)}
    assert trained.keys() == trainable
    assert all(gradient.isfinite().all() for gradient in trained.values())


def test_gradient_checkpointing(name, changeable):
    if name != "unet":
        with pytest.raises(ValueError, match="does not support gradient checkpointing"):
            changeable.enable_gradient_checkpointing()
        return
    changeable.train()
    plain = gradients(changeable, name)
    changeable.enable_gradient_checkpointing()
    assert changeable.is_gradient_checkpointing
    calls = []
    for block in changeable.down_blocks[0].attentions:
        original = block._gradient_checkpointing_func
        block._gradient_checkpointing_func = lambda *args, original=original: calls.append(1) or original(*args)
    checkpointed = gradients(changeable, name)
    assert len(calls) == 2  # one spatial and one temporal block
    assert plain.keys() == checkpointed.keys()
    for key in plain:
        torch.testing.assert_close(checkpointed[key], plain[key], rtol=1e-4, atol=1e-6, msg=key)
    changeable.disable_gradient_checkpointing()
    assert not changeable.is_gradient_checkpointing


# diffusers reads the average's settings from a folder in a way that it would not have others use.
@pytest.mark.filterwarnings("ignore:It is deprecated to pass a pretrained model name:FutureWarning")
def test_an_average_of_weights_is_saved_and_loaded(name, network, tmp_path):
    average = EMAModel(network.parameters(), decay=0.9, model_cls=type(network), model_config=network.config)
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.add_(0.01)
    average.step(changed.parameters())
    average.save_pretrained(tmp_path)
    again = EMAModel.from_pretrained(tmp_path, model_cls=type(network))
    assert again.decay == 0.9
    for ours, theirs in zip(again.shadow_params, average.shadow_params, strict=True):
        assert torch.equal(ours, theirs)


# -- What saves memory and time ------------------------------------------------------------------------------


def test_layerwise_casting(name, network, changeable):
    """Weights of three bits of mantissa: the picture stays, noise is added."""
    changeable.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    stored = {parameter.dtype for parameter in changeable.parameters()}
    assert (torch.float8_e4m3fn in stored) == (name != STAYS_IN_FLOAT32)
    assert changeable.dtype == torch.float32
    expected, output = run(network, name), run(changeable, name)
    assert output.dtype == torch.float32
    assert correlation(output, expected) > 0.98
    assert (distance(output, expected) > 1e-3) == (name != STAYS_IN_FLOAT32)


@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
def test_group_offload(kind, name, network, changeable, tmp_path, monkeypatch):
    """To disk, leaving NaN behind, so that a weight which is used without having come back is noticed."""
    let_the_cpu_offload(monkeypatch)
    empty_like = torch.empty_like

    def missing(tensor, **kwargs):
        return empty_like(tensor, **kwargs).fill_(float("nan" if tensor.is_floating_point() else 0))

    monkeypatch.setattr(group_offloading.torch, "empty_like", missing)
    options = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    changeable.enable_group_offload(
        torch.device("cpu"), offload_type=kind, offload_to_disk_path=str(tmp_path), **options
    )
    assert all(weight.isnan().all() for weight in changeable.parameters())
    assert distance(run(changeable, name), run(network, name)) < ROUNDING


def test_compiles_without_a_graph_break(name, network, changeable):
    """`eager` runs what dynamo captured as it is, so nothing is generated; a break would raise."""
    torch.compiler.reset()
    compiled = torch.compile(changeable, fullgraph=True, backend="eager")
    assert distance(run(compiled, name), run(network, name)) < ROUNDING
