"""Quantization by torchao through `quantization_config`: pipeline and network, saved and loaded, under LoRA."""

import pytest
import torch
from diffusers import PipelineQuantizationConfig, TorchAoConfig
from lora_files import write_lora
from networks import correlation, inputs
from runs import distance, small_run
from torch import nn

import diffusers_hunyuan_portrait as hp

pytest.importorskip("torchao", reason="torchao is an extra, and says much on every import where there is no GPU")

from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

# The weights' tensor class, and how alike the pictures of two steps are to those of full weights: int8 keeps seven
# bits of each output channel's largest weight, fp8 three bits of each weight. Seen: 0.9985 and 0.989.
KINDS = {
    "int8": (Int8WeightOnlyConfig, "Int8Tensor", 0.995),
    "fp8": (Float8WeightOnlyConfig, "Float8Tensor", 0.98),
}
NETWORKS = ["im_adapter", "motion_extractor", "pose_guider", "unet", "vae"]


@pytest.fixture(params=list(KINDS))
def kind(request) -> str:
    return request.param


def quantized_pipeline(folder, kind: str, *names: str) -> hp.HunyuanPortraitPipeline:
    each = {name: TorchAoConfig(KINDS[kind][0]()) for name in names}
    config = PipelineQuantizationConfig(quant_mapping=each)
    return hp.HunyuanPortraitPipeline.from_pretrained(folder, quantization_config=config, dtype=torch.bfloat16)


@pytest.fixture
def pipe(kind, tiny_model_dir):
    return quantized_pipeline(tiny_model_dir, kind, "unet")


@pytest.fixture(scope="module")
def expected(tiny_model_dir) -> torch.Tensor:
    """The pictures of full weights in the same type."""
    full = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=torch.bfloat16)
    return small_run(full, output_type="pt")


def weight_classes(network) -> dict[str, set[str]]:
    """The tensor classes of the weights of each class of layer."""
    classes: dict[str, set[str]] = {}
    for module in network.modules():
        if isinstance(getattr(module, "weight", None), torch.Tensor):
            classes.setdefault(type(module).__name__, set()).add(type(module.weight).__name__)
    return classes


def test_every_linear_layer_of_the_unet_and_nothing_else(kind, pipe, expected):
    quantized = KINDS[kind][1]
    of_unet = weight_classes(pipe.unet)
    assert of_unet.pop("Linear") == {quantized}
    assert of_unet.keys() == {"Conv2d", "Conv3d", "GroupNorm", "LayerNorm"}
    assert set().union(*of_unet.values()) == {"Parameter"}
    motion = [module for name, module in pipe.unet.named_modules() if name.endswith("_motion")]
    assert motion
    assert {type(projection.weight).__name__ for projection in motion} == {quantized}
    for name in NETWORKS:
        if name != "unet":
            assert set().union(*weight_classes(getattr(pipe, name)).values()) == {"Parameter"}
    assert pipe.motion_extractor.dtype == torch.float32
    frames = small_run(pipe, output_type="pt")
    assert distance(frames, expected) > 0.01
    assert correlation(frames, expected) > KINDS[kind][2]


def test_saved_and_loaded(kind, pipe, tiny_model_dir, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert weight_classes(loaded.unet) == weight_classes(pipe.unet)
    assert torch.equal(small_run(loaded), small_run(pipe))

    def size(folder) -> int:
        return sum(path.stat().st_size for path in (folder / "unet").iterdir())

    assert size(tmp_path) < 0.5 * size(tiny_model_dir)  # of float32; the convolutions are half the weights


def test_several_networks(kind, tiny_model_dir, expected):
    pipe = quantized_pipeline(tiny_model_dir, kind, "unet", "im_adapter")
    for name in ("unet", "im_adapter"):
        assert weight_classes(getattr(pipe, name))["Linear"] == {KINDS[kind][1]}
    assert correlation(small_run(pipe, output_type="pt"), expected) > KINDS[kind][2]


@pytest.mark.parametrize("name", ["unet", "im_adapter"])
def test_one_network(name, kind, tiny_pipeline, tiny_model_dir):
    config = TorchAoConfig(KINDS[kind][0](), modules_to_not_convert=["image_proj", "time_embedding"])
    network = type(getattr(tiny_pipeline, name)).from_pretrained(
        tiny_model_dir / name, quantization_config=config, dtype=torch.bfloat16
    )
    assert weight_classes(network)["Linear"] == {KINDS[kind][1], "Parameter"}
    kept = network.image_proj if name == "im_adapter" else network.time_embedding.linear_1
    assert isinstance(kept, nn.Linear)
    assert type(kept.weight) is nn.Parameter
    arguments = {key: x.to(torch.bfloat16) if torch.is_tensor(x) else x for key, x in inputs(name).items()}
    with torch.no_grad():
        output = network(**arguments, return_dict=False)[0]
        full = getattr(tiny_pipeline, name)(**inputs(name), return_dict=False)[0]
    assert correlation(output, full) > KINDS[kind][2]


def test_lora_beside_quantized_weights(pipe, tiny_pipeline, tmp_path):
    write_lora(tmp_path, tiny_pipeline.unet)
    before = small_run(pipe)
    pipe.load_lora_weights(tmp_path)
    adapted = small_run(pipe)
    assert distance(adapted, before) > 0.1
    exact = hp.HunyuanPortraitPipeline.from_pretrained(tiny_pipeline.config._name_or_path)
    exact.load_lora_weights(tmp_path)
    assert correlation(adapted, small_run(exact)) > 0.95
    pipe.unload_lora_weights()
    assert torch.equal(small_run(pipe), before)
