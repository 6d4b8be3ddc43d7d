"""LoRA on the pipeline: loaded, scaled, mixed, fused, swapped and taken out; a wrong file changes nothing."""

import copy
import itertools
import json
import subprocess
import sys

import accelerate
import pytest
import torch
from diffusers.training_utils import _collate_lora_metadata
from lora_files import FILE, TARGETS, adapt, trained, write_lora
from networks import inputs, let_the_cpu_offload, run
from peft.utils import get_peft_model_state_dict
from runs import distance, small_run
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait import lora
from diffusers_hunyuan_portrait.errors import UserError

# peft says of each further adapter that it is a further one
pytestmark = pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")

# float32 sums in another order
ROUNDING = 1e-5
# A product added to the weights before they act, in place of beside them
FUSED = 1e-4


@pytest.fixture(scope="module")
def lora_folder(tiny_pipeline, tmp_path_factory):
    """Not to be changed."""
    return write_lora(tmp_path_factory.mktemp("lora"), tiny_pipeline.unet)


@pytest.fixture
def pipe(tiny_pipeline):
    """With a UNet that a test may change."""
    return hp.HunyuanPortraitPipeline(**{**tiny_pipeline.components, "unet": copy.deepcopy(tiny_pipeline.unet)})


@pytest.fixture(scope="module")
def plain(tiny_pipeline) -> torch.Tensor:
    return run(tiny_pipeline.unet, "unet")


@pytest.fixture(scope="module")
def adapted(tiny_pipeline) -> torch.Tensor:
    """What the network gives with the adapter of `lora_folder`."""
    unet = copy.deepcopy(tiny_pipeline.unet)
    adapt(unet, "reference")
    return run(unet, "unet")


def output(pipe) -> torch.Tensor:
    return run(pipe.unet, "unet")


# -- Files ---------------------------------------------------------------------------------------------------


def test_a_file_has_peft_keys_and_the_config(lora_folder):
    assert [path.name for path in lora_folder.iterdir()] == [FILE]
    with safe_open(lora_folder / FILE, "pt") as file:
        keys, metadata = list(file.keys()), json.loads(file.metadata()["lora_adapter_metadata"])
    assert all(key.startswith("unet.") for key in keys)
    assert {key.rpartition(".lora_")[2] for key in keys} == {"A.weight", "B.weight"}
    named = {target: [key for key in keys if f".{target}.lora_A" in key] for target in TARGETS}
    temporal = {target: [key for key in keys if "temporal" in key] for target, keys in named.items()}
    assert all(0 < len(temporal[target]) < len(named[target]) for target in TARGETS if target != "conv_in")
    assert metadata["unet.r"] == 2
    assert metadata["unet.lora_alpha"] == 3
    assert metadata["unet.rank_pattern"] == {"to_q": 4}


def test_it_acts_on_a_run(pipe, tiny_pipeline, lora_folder):
    before = small_run(tiny_pipeline)
    pipe.load_lora_weights(lora_folder)
    after = small_run(pipe)
    assert after.isfinite().all()
    assert distance(after, before) > 0.1
    pipe.unload_lora_weights()
    assert distance(small_run(pipe), before) < 5e-4


@pytest.mark.parametrize("source", ["folder", "text", "file", "named", "subfolder", "with empty weights first"])
def test_sources(source, pipe, lora_folder, adapted):
    place, options = {
        "folder": (lora_folder, {}),
        "text": (str(lora_folder), {}),
        "file": (lora_folder / FILE, {}),
        "named": (lora_folder, {"weight_name": FILE}),
        "subfolder": (lora_folder.parent, {"subfolder": lora_folder.name, "weight_name": FILE}),
        "with empty weights first": (lora_folder, {"low_cpu_mem_usage": False}),
    }[source]
    pipe.load_lora_weights(place, **options)
    assert distance(output(pipe), adapted) < ROUNDING


def test_a_state_dict(pipe, lora_folder, adapted):
    weights, metadata = pipe.lora_state_dict(lora_folder, return_lora_metadata=True)
    kept = {key: weight.clone() for key, weight in weights.items()}
    pipe.load_lora_weights(weights)
    assert weights.keys() == kept.keys()
    assert all(torch.equal(weights[key], kept[key]) for key in kept)
    # Without its config it is scaled by 1, not by the alpha that it was trained with.
    assert metadata["unet.lora_alpha"] == 3
    assert distance(output(pipe), adapted) > 1e-2


def test_without_metadata_the_scale_is_one(pipe, tmp_path, tiny_pipeline):
    weights, _ = trained(tiny_pipeline.unet, lora_alpha=2, alpha_pattern={"to_q": 4})  # alphas equal to the ranks
    pipe.save_lora_weights(tmp_path, weights)
    assert pipe.lora_state_dict(tmp_path, return_lora_metadata=True)[1] is None
    pipe.load_lora_weights(tmp_path)
    unet = copy.deepcopy(tiny_pipeline.unet)
    adapt(unet, "reference", lora_alpha=2, alpha_pattern={"to_q": 4})
    assert distance(output(pipe), run(unet, "unet")) < ROUNDING


def test_what_is_loaded_is_saved_as_it_was(pipe, lora_folder, tmp_path):
    """As diffusers' training scripts save."""
    pipe.load_lora_weights(lora_folder, adapter_name="default")
    pipe.save_lora_weights(
        save_directory=tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipe.unet),
        **_collate_lora_metadata({"unet": pipe.unet}),
    )
    first, second = load_file(lora_folder / FILE), load_file(tmp_path / FILE)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    read = [pipe.lora_state_dict(folder, return_lora_metadata=True)[1] for folder in (lora_folder, tmp_path)]
    for name in ("unet.r", "unet.lora_alpha", "unet.rank_pattern"):
        assert read[0][name] == read[1][name]


WITH_BIAS = {"lora_bias": True, "target_modules": ["to_out.0", "conv_in"], "rank_pattern": {}}


@pytest.mark.filterwarnings("ignore:Adapter 'trained'.* invalid shape:UserWarning")  # peft, of any bias
@pytest.mark.parametrize("settings", [{"use_dora": True}, {"use_rslora": True}, WITH_BIAS])
def test_kinds_of_lora(settings, pipe, tiny_pipeline, tmp_path):
    """Each with weights, or a scale, of its own."""
    pipe.load_lora_weights(write_lora(tmp_path, tiny_pipeline.unet, **settings))
    unet = copy.deepcopy(tiny_pipeline.unet)
    adapt(unet, "reference", **settings)
    assert distance(output(pipe), run(unet, "unet")) < ROUNDING


def test_nothing_to_save(pipe, tmp_path):
    with pytest.raises(UserError, match="There are no LoRA weights to save; give them as `unet_lora_layers`"):
        pipe.save_lora_weights(tmp_path, {})


# -- Adapters ------------------------------------------------------------------------------------------------


def test_scales(pipe, lora_folder, plain, adapted):
    pipe.load_lora_weights(lora_folder, adapter_name="style")
    assert pipe.get_active_adapters() == ["style"]
    assert pipe.get_list_adapters() == {"unet": ["style"]}
    pipe.set_adapters("style", 0.0)
    assert distance(output(pipe), plain) < ROUNDING
    pipe.set_adapters("style", 0.5)
    half = output(pipe)
    assert min(distance(half, plain), distance(half, adapted)) > 1e-2
    pipe.set_adapters("style")
    assert distance(output(pipe), adapted) < ROUNDING
    pipe.set_adapters("style", {"unet": {"down_blocks": 0.0, "mid_block": 0.0, "up_blocks": 0.0, "conv_in": 0.0}})
    assert distance(output(pipe), plain) < ROUNDING
    pipe.set_adapters("style", {"unet": {"down_blocks": 0.0, "conv_in": 1.0}})
    assert min(distance(output(pipe), plain), distance(output(pipe), adapted)) > 1e-2
    with pytest.raises(ValueError, match="not in the list of present adapters"):
        pipe.set_adapters("other")


def test_on_and_off(pipe, lora_folder, plain, adapted):
    pipe.load_lora_weights(lora_folder)
    pipe.disable_lora()
    assert distance(output(pipe), plain) < ROUNDING
    pipe.enable_lora()
    assert distance(output(pipe), adapted) < ROUNDING
    pipe.unload_lora_weights()
    assert distance(output(pipe), plain) < ROUNDING
    assert not any("lora" in key or "base_layer" in key for key in pipe.unet.state_dict())


def test_several(pipe, tiny_pipeline, lora_folder, tmp_path, adapted):
    pipe.load_lora_weights(lora_folder, adapter_name="one")
    pipe.load_lora_weights(write_lora(tmp_path, pipe.unet, seed=1), adapter_name="two")
    assert pipe.get_list_adapters() == {"unet": ["one", "two"]}
    assert pipe.get_active_adapters() == ["two"]
    pipe.set_adapters("one")
    assert distance(output(pipe), adapted) < ROUNDING
    pipe.set_adapters(["one", "two"], [0.3, 0.7])
    mixed = output(pipe)
    pipe.fuse_lora()
    assert pipe.fused_loras == {"one", "two"}
    assert distance(output(pipe), mixed) < FUSED
    pipe.unfuse_lora()
    pipe.delete_adapters("two")
    assert pipe.get_list_adapters() == {"unet": ["one"]}
    pipe.set_adapters("one")
    assert distance(output(pipe), adapted) < FUSED


def test_names_are_made_up_where_none_is_given(pipe, lora_folder):
    for _ in range(3):
        pipe.load_lora_weights(lora_folder)
    pipe.delete_adapters("default_0")
    pipe.load_lora_weights(lora_folder)
    assert pipe.get_list_adapters() == {"unet": ["default_1", "default_2", "default_3"]}


def test_fused(pipe, lora_folder, plain, adapted):
    pipe.load_lora_weights(lora_folder, adapter_name="style")
    pipe.fuse_lora(lora_scale=1.0, safe_fusing=True)
    assert (pipe.num_fused_loras, pipe.fused_loras) == (1, {"style"})
    assert distance(output(pipe), adapted) < FUSED
    pipe.unfuse_lora()
    assert pipe.num_fused_loras == 0
    assert distance(output(pipe), adapted) < FUSED
    pipe.set_adapters("style", 0.5)
    half = output(pipe)
    pipe.set_adapters("style")
    pipe.fuse_lora(lora_scale=0.5)
    pipe.unload_lora_weights()
    assert distance(output(pipe), half) < FUSED
    assert distance(output(pipe), plain) > 1e-2
    assert not any("lora" in key or "base_layer" in key for key in pipe.unet.state_dict())


def test_motion_in_time_alone(pipe, tiny_pipeline, plain, tmp_path):
    """Only the second pair of projections, and only over the window's frames."""
    modules = [name for name, _ in pipe.unet.named_modules() if "temporal" in name and name.endswith("_motion")]
    pipe.load_lora_weights(write_lora(tmp_path, tiny_pipeline.unet, target_modules=modules, rank_pattern={}))
    assert distance(output(pipe), plain) > 1e-3
    without_motion = {"motion_hidden_states": None}
    without = run(tiny_pipeline.unet, "unet", **without_motion)
    assert distance(run(pipe.unet, "unet", **without_motion), without) < ROUNDING


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, tiny_model_dir, lora_folder, plain, adapted):
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=dtype)
    pipe.load_lora_weights(lora_folder)
    arguments = {
        name: value.to(dtype) if torch.is_tensor(value) else value for name, value in inputs("unet").items()
    }
    with torch.no_grad():
        result = pipe.unet(**arguments).sample
    assert result.dtype == dtype
    difference, effect = (result - adapted).abs().mean(), (plain - adapted).abs().mean()
    assert difference < 0.05 * effect


def test_training_reaches_the_adapter_alone(pipe, tmp_path):
    adapt(pipe.unet, "default")
    before = {name: weight.detach().clone() for name, weight in pipe.unet.named_parameters()}
    trained_weights = [weight for weight in pipe.unet.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(trained_weights, lr=0.1)
    pipe.unet.train()
    pipe.unet(**inputs("unet")).sample.square().mean().backward()
    optimizer.step()
    pipe.unet.eval()
    changed = {name for name, weight in pipe.unet.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if ".lora_" in name}


# -- Swapping ------------------------------------------------------------------------------------------------


def test_swapping_under_compilation(pipe, tmp_path, tiny_pipeline):
    """Weights of another rank in the place of the first, with nothing compiled anew."""
    first_folder = write_lora(tmp_path / "first", tiny_pipeline.unet, rank_pattern={})
    second_folder = write_lora(tmp_path / "second", tiny_pipeline.unet, seed=1, r=6, rank_pattern={})
    pipe.enable_lora_hotswap(target_rank=8)
    pipe.load_lora_weights(first_folder, adapter_name="style")
    torch.compiler.reset()
    graphs = []
    pipe.unet.mid_block.compile(
        fullgraph=True, backend=lambda graph, _: graphs.append(graph) or graph.forward, dynamic=False
    )
    first = output(pipe)
    compiled = len(graphs)
    pipe.load_lora_weights(second_folder, adapter_name="style", hotswap=True)
    second = output(pipe)
    assert len(graphs) == compiled == 1
    assert pipe.get_list_adapters() == {"unet": ["style"]}
    for folder, result in ((first_folder, first), (second_folder, second)):
        fresh = hp.HunyuanPortraitPipeline(
            **{**tiny_pipeline.components, "unet": copy.deepcopy(tiny_pipeline.unet)}
        )
        fresh.load_lora_weights(folder)
        assert distance(result, output(fresh)) < FUSED


def test_ranks_above_the_one_made_room_for(pipe, lora_folder, adapted):
    """Its layers have ranks 2 and 4."""
    pipe.enable_lora_hotswap(target_rank=3)
    unchanged = Unchanged(pipe)
    with pytest.raises(UserError, match=r"cannot be loaded .*the original rank is larger"):
        pipe.load_lora_weights(lora_folder)
    unchanged.check()
    pipe.enable_lora_hotswap(target_rank=8)
    pipe.load_lora_weights(lora_folder)
    assert distance(output(pipe), adapted) < ROUNDING


# -- Under offload -------------------------------------------------------------------------------------------


@pytest.fixture
def offloaded(tiny_model_dir, monkeypatch):
    """A pipeline whose kind of offload goes by the device that a test has, as a GPU's would."""
    let_the_cpu_offload(monkeypatch)
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir)
    for kind in ("enable_model_cpu_offload", "enable_sequential_cpu_offload"):
        # diffusers puts the hooks back for the accelerator, of which there is none here.
        original = getattr(pipe, kind)
        monkeypatch.setattr(pipe, kind, lambda *args, original=original, **kwargs: original(device="cpu"))
    # diffusers names the device with an index, which accelerate moves weights to wrongly where it is a CPU.
    cpu_offload = accelerate.cpu_offload
    monkeypatch.setattr(
        accelerate, "cpu_offload", lambda network, device, **kwargs: cpu_offload(network, "cpu", **kwargs)
    )
    yield pipe
    pipe.remove_all_hooks()


@pytest.mark.parametrize("kind", ["model", "sequential", "group"])
def test_loading_keeps_the_offload(kind, offloaded, lora_folder, tiny_pipeline):
    expected_plain = small_run(tiny_pipeline, 3, num_inference_steps=1)
    if kind == "group":
        offloaded.enable_group_offload(torch.device("cpu"), offload_type="leaf_level")
    else:
        getattr(offloaded, f"enable_{kind}_cpu_offload")()
    with pytest.raises(UserError):
        offloaded.load_lora_weights({"unet.conv_in.lora_A.weight": torch.zeros(2, 2)})
    offloaded.load_lora_weights(lora_folder, adapter_name="style")
    adapted = small_run(offloaded, 3, num_inference_steps=1)
    if kind == "sequential":
        assert {weight.device.type for weight in offloaded.unet.parameters()} == {"meta"}
    elif kind == "model":
        assert offloaded.unet._hf_hook is not None
    else:
        assert offloaded.unet.conv_in.base_layer._diffusers_hook.get_hook("group_offloading") is not None
    assert distance(adapted, expected_plain) > 0.01
    offloaded.set_adapters("style", 0.0)
    assert distance(small_run(offloaded, 3, num_inference_steps=1), expected_plain) < 5e-4


# -- What cannot be loaded -----------------------------------------------------------------------------------


LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k_motion"
DOWN, UP = f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight"


def changed(key: str, change):
    return lambda weights: {name: change(weight) if name == key else weight for name, weight in weights.items()}


def renamed(change):
    return lambda weights: {change(name): weight for name, weight in weights.items()}


def without(key: str):
    return lambda weights: {name: weight for name, weight in weights.items() if name != key}


def with_more(key: str):
    return lambda weights: {**weights, key: torch.zeros(2, 2)}


WRONG_WEIGHTS = {
    "There are no weights in": lambda weights: {},
    "`conv_in.weight` .* is no LoRA weight of this pipeline": lambda weights: {"conv_in.weight": torch.zeros(3)},
    "^`[a-z_]*_(block|in).*is no LoRA weight": renamed(lambda name: name.removeprefix("unet.")),
    "^`transformer.*is no LoRA weight": renamed(lambda name: name.replace("unet", "transformer")),
    "^`text_encoder.layer.lora_A.weight` in": with_more("text_encoder.layer.lora_A.weight"),
    "this UNet has no layer `mid_block.nothing`": with_more("unet.mid_block.nothing.lora_A.weight"),
    "`time_proj` is no layer that can have one": with_more("unet.time_proj.lora_A.weight"),
    "lacks its `lora_A.weight`": without(DOWN),
    "lacks its `lora_B.weight`": without(UP),
    r"are of \(64, 2\) and \(2, 9\)": changed(DOWN, lambda weight: weight[:, :9]),
    r"are of \(9, 2\) and \(2, 64\)": changed(UP, lambda weight: weight[:9]),
    r"are of \(64, 1\) and \(2, 64\)": changed(UP, lambda weight: weight[:, :1]),
    r"are of \(64,\) and": changed(UP, lambda weight: weight[:, 0]),
    "cannot be loaded .*size mismatch": changed("unet.conv_in.lora_A.weight", lambda weight: weight[..., :1]),
}


class Unchanged:
    """Holds a pipeline to what it was."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.layers = {name: type(module) for name, module in pipe.unet.named_modules()}
        self.weights = {name: weight.detach().clone() for name, weight in pipe.unet.state_dict().items()}
        self.adapters = pipe.get_list_adapters(), pipe.get_active_adapters()
        self.output = output(pipe)

    def check(self):
        assert {name: type(module) for name, module in self.pipe.unet.named_modules()} == self.layers
        weights = self.pipe.unet.state_dict()
        assert weights.keys() == self.weights.keys()
        assert all(torch.equal(weights[name], weight) for name, weight in self.weights.items())
        assert (self.pipe.get_list_adapters(), self.pipe.get_active_adapters()) == self.adapters
        assert torch.equal(output(self.pipe), self.output)


@pytest.mark.parametrize("with_an_adapter", [False, True])
def test_wrong_weights_change_nothing(with_an_adapter, pipe, tiny_pipeline, lora_folder, tmp_path):
    if with_an_adapter:
        pipe.load_lora_weights(lora_folder, adapter_name="good")
    unchanged = Unchanged(pipe)
    weights = load_file(lora_folder / FILE)
    with safe_open(lora_folder / FILE, "pt") as file:
        metadata = file.metadata()
    for (sentence, change), hotswap in itertools.product(WRONG_WEIGHTS.items(), {False, with_an_adapter}):
        wrong = {name: weight.contiguous() for name, weight in change(weights).items()}
        save_file(wrong, tmp_path / "wrong.safetensors", metadata=metadata)
        if hotswap and "cannot be loaded" in sentence:
            continue  # peft takes a smaller kernel in
        with pytest.raises(UserError, match=sentence):
            pipe.load_lora_weights(
                tmp_path / "wrong.safetensors", adapter_name="good" if hotswap else "bad", hotswap=hotswap
            )
        unchanged.check()


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("{", r"No LoRA could be read from .*JSONDecodeError: Expecting property name"),
        ("[1]", "cannot be loaded .*AttributeError"),
        ('{"unet.r": 3, "unet.target_modules": ["to_q"]}', "cannot be loaded .*size mismatch"),
        ('{"unet.no_such_setting": 1}', "cannot be loaded .*LoraConfig"),
    ],
)
def test_a_wrong_config_changes_nothing(metadata, sentence, pipe, lora_folder, tmp_path):
    unchanged = Unchanged(pipe)
    weights = load_file(lora_folder / FILE)
    save_file(
        weights, tmp_path / "wrong.safetensors", metadata={"format": "pt", "lora_adapter_metadata": metadata}
    )
    with pytest.raises(UserError, match=sentence):
        pipe.load_lora_weights(tmp_path / "wrong.safetensors")
    unchanged.check()


def test_what_is_no_lora_file(pipe, lora_folder, tmp_path):
    unchanged = Unchanged(pipe)
    whole = (lora_folder / FILE).read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"No LoRA could be read from .*cut\.safetensors"):
            pipe.load_lora_weights(tmp_path / "cut.safetensors")
    (tmp_path / "pickle.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (tmp_path / "empty").mkdir()
    for place in ("pickle.bin", "empty", "nowhere", "nowhere.safetensors"):
        with pytest.raises(UserError, match=f"No LoRA could be read from .*{place}'"):
            pipe.load_lora_weights(tmp_path / place)
    unchanged.check()


def test_a_state_dict_of_something_else(pipe):
    unchanged = Unchanged(pipe)
    with pytest.raises(UserError, match=r"`unet.conv_in.lora_A.weight` in the state dict is no LoRA weight"):
        pipe.load_lora_weights({"unet.conv_in.lora_A.weight": 3})
    unchanged.check()


def test_names_that_cannot_be(pipe, lora_folder, tmp_path):
    with pytest.raises(UserError, match="There is no adapter 'style' to swap, but none; name one of these, or"):
        pipe.load_lora_weights(lora_folder, adapter_name="style", hotswap=True)
    pipe.load_lora_weights(lora_folder, adapter_name="style")
    unchanged = Unchanged(pipe)
    with pytest.raises(UserError, match="An adapter 'style' is loaded already"):
        pipe.load_lora_weights(lora_folder, adapter_name="style")
    with pytest.raises(UserError, match="There is no adapter None to swap, but 'style'"):
        pipe.load_lora_weights(lora_folder, hotswap=True)
    unchanged.check()
    pipe.fuse_lora()
    unchanged = Unchanged(pipe)
    with pytest.raises(UserError, match="The adapter 'style' is fused; call `unfuse_lora` before"):
        pipe.load_lora_weights(lora_folder, adapter_name="style", hotswap=True)
    unchanged.check()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"target_modules": ["time_emb_proj"]}, "cannot be loaded .*unexpected keys"),
        ({"use_rslora": True}, "cannot be loaded .*use_rslora"),
        ({"use_dora": True}, "cannot be loaded .*use_dora"),
        ({"rank_pattern": {"to_q": 4}}, "has layers of several ranks or alphas, .* load it under another name"),
    ],
)
def test_a_swap_that_peft_cannot_do_leaves_the_first(
    settings, sentence, pipe, tiny_pipeline, lora_folder, tmp_path
):
    other = write_lora(tmp_path, tiny_pipeline.unet, **{"rank_pattern": {}, **settings})
    pipe.load_lora_weights(lora_folder, adapter_name="style")
    unchanged = Unchanged(pipe)
    with pytest.raises(UserError, match=sentence):
        pipe.load_lora_weights(other, adapter_name="style", hotswap=True)
    unchanged.check()


def test_without_peft(pipe, lora_folder, monkeypatch):
    monkeypatch.setattr(lora, "USE_PEFT_BACKEND", False)
    with pytest.raises(UserError, match="LoRA weights need peft; install it with `pip install peft`"):
        pipe.load_lora_weights(lora_folder)


def test_the_package_is_imported_without_peft():
    program = (
        "import sys; sys.modules['peft'] = None\n"
        "from diffusers_hunyuan_portrait import HunyuanPortraitPipeline as pipeline\n"
        "print(pipeline.load_lora_weights.__qualname__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "HunyuanPortraitLoraLoaderMixin.load_lora_weights\n"
