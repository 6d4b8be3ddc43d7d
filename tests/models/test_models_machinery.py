"""diffusers' machinery that only the UNet has: compiled blocks, attention processors and kernels, chunks, LoRA."""

import copy
from collections import Counter

import peft
import pytest
import torch
from diffusers.models import attention_dispatch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor
from networks import run
from runs import distance

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.models.attention import PortraitAttnProcessor
from diffusers_hunyuan_portrait.models.unet import RECOMPILE_LIMIT

# float32 sums in another order, on an output of deviation near 1
ROUNDING = 1e-5


@pytest.fixture
def unet(tiny_pipeline):
    """A copy that a test may change."""
    return copy.deepcopy(tiny_pipeline.unet)


@pytest.fixture(autouse=True)
def same_backend():
    """`set_attention_backend` sets it for all that is made later, too."""
    with attention_dispatch.attention_backend("native"):
        yield


@pytest.fixture
def expected(tiny_pipeline) -> torch.Tensor:
    return run(tiny_pipeline.unet, "unet")


# -- Compilation ---------------------------------------------------------------------------------------------


def kinds_of_block(unet) -> Counter:
    """How many sizes there are of each class of its repeated blocks."""
    blocks = [module for module in unet.modules() if type(module).__name__ in unet._repeated_blocks]
    sizes = {(type(block).__name__, *(weight.shape for weight in block.parameters())) for block in blocks}
    return Counter(size[0] for size in sizes)


@torch._dynamo.config.patch(recompile_limit=1)
def test_each_kind_of_block_is_compiled_once(unet, expected):
    torch.compiler.reset()
    nothing = {"encoder_hidden_states": None, "motion_hidden_states": None}
    expected_of_nothing = run(unet, "unet", **nothing)
    kinds, graphs = kinds_of_block(unet), []
    assert kinds.keys() == set(unet._repeated_blocks)
    unet.compile_repeated_blocks(fullgraph=True, backend=lambda graph, _: graphs.append(graph) or graph.forward)

    assert distance(run(unet, "unet"), expected) < ROUNDING
    # Once more for each class, where dynamo first sees that the pictures' size can change.
    assert kinds.total() <= len(graphs) <= kinds.total() + len(kinds)
    with_tokens = len(graphs)
    assert distance(run(unet, "unet", **nothing), expected_of_nothing) < ROUNDING
    assert len(graphs) - with_tokens == kinds.total() - kinds["SpatioTemporalResBlock"]
    compiled = len(graphs)
    run(unet, "unet")
    run(unet, "unet", **nothing)
    assert len(graphs) == compiled


def test_dynamo_would_not_compile_all_kinds_of_block_by_itself():
    with torch.device("meta"):
        kinds = kinds_of_block(hp.HunyuanPortraitUNet())
    assert (
        8 < kinds["SpatioTemporalResBlock"] < RECOMPILE_LIMIT / 8
    )  # room for pictures and windows of other sizes
    assert 3 * kinds["BasicTransformerBlock"] > 8  # in each of the three branches of guidance


# -- Attention's processors and kernels ----------------------------------------------------------------------


class Recorder(PortraitAttnProcessor):
    """A processor as a user may write it."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return super().__call__(*args, **kwargs)


def state(unet) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in unet.state_dict().items()}


def assert_unchanged(unet, before: dict[str, torch.Tensor], expected: torch.Tensor) -> None:
    after = unet.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert distance(run(unet, "unet"), expected) < ROUNDING


def test_setting_processors_loses_no_weights(unet, expected):
    before = state(unet)
    assert sum(key.endswith(("to_k_motion.weight", "to_v_motion.weight")) for key in before) == len(
        unet.attn_processors
    )  # a pair for every second attention
    assert all(type(processor) is PortraitAttnProcessor for processor in unet.attn_processors.values())
    recorder = Recorder()
    unet.set_attn_processor(recorder)
    assert_unchanged(unet, before, expected)
    assert recorder.calls == len(unet.attn_processors)
    unet.set_default_attn_processor()
    assert_unchanged(unet, before, expected)
    assert all(type(processor) is PortraitAttnProcessor for processor in unet.attn_processors.values())
    each = {name: Recorder() for name in unet.attn_processors}
    unet.set_attn_processor(dict(each))
    assert_unchanged(unet, before, expected)
    assert {name: processor.calls for name, processor in each.items()} == dict.fromkeys(each, 1)


@pytest.mark.parametrize("processor", [AttnProcessor2_0(), AttnProcessor(), SlicedAttnProcessor(1)])
def test_a_processor_of_diffusers_serves_self_attention_alone(processor, unet, expected):
    before = state(unet)
    with pytest.raises(UserError, match=rf"{type(processor).__name__} cannot .* `set_attention_backend`"):
        unet.set_attn_processor(processor)
    # Whoever goes on has what was there before, and no half of each.
    assert all(type(ours) is PortraitAttnProcessor for ours in unet.attn_processors.values())
    assert_unchanged(unet, before, expected)
    mixed = {name: processor if "attn1" in name else ours for name, ours in unet.attn_processors.items()}
    unet.set_attn_processor(dict(mixed))
    assert_unchanged(unet, before, expected)
    with pytest.raises(UserError, match="cannot attend to image and motion tokens"):
        unet.mid_block.attentions[0].transformer_blocks[0].attn2.set_processor(processor)
    assert_unchanged(unet, before, expected)
    assert unet.attn_processors == mixed


class KernelCalls:
    """Counts the calls of one of diffusers' attention backends."""

    def __init__(self, monkeypatch, backend: attention_dispatch.AttentionBackendName):
        self.count = 0
        backends = attention_dispatch._AttentionBackendRegistry._backends
        kernel = backends[backend]

        def counted(*args, **kwargs):
            self.count += 1
            return kernel(*args, **kwargs)

        monkeypatch.setitem(backends, backend, counted)


def attentions(unet) -> int:
    """A block's self-attention, and its cross-attention to the image and to the motion."""
    return 3 * sum(name.endswith("attn1.processor") for name in unet.attn_processors)


def test_an_attention_backend_reaches_every_processor(unet, expected, monkeypatch):
    math = attention_dispatch.AttentionBackendName._NATIVE_MATH
    calls = KernelCalls(monkeypatch, math)
    unet.set_attention_backend("_native_math")
    assert {processor._attention_backend for processor in unet.attn_processors.values()} == {math}
    assert distance(run(unet, "unet"), expected) < ROUNDING
    assert calls.count == attentions(unet)
    with attention_dispatch.attention_backend("native"):  # for all that has none of its own
        assert distance(run(unet, "unet"), expected) < ROUNDING
    assert calls.count == 2 * attentions(unet)
    unet.set_attention_backend("native")
    assert distance(run(unet, "unet"), expected) < ROUNDING
    assert calls.count == 2 * attentions(unet)
    with pytest.raises(ValueError, match="must be one of the following: "):
        unet.set_attention_backend("no_such_backend")


def test_an_attention_backend_for_a_while(unet, expected, monkeypatch):
    calls = KernelCalls(monkeypatch, attention_dispatch.AttentionBackendName._NATIVE_MATH)
    with attention_dispatch.attention_backend("_native_math"):
        assert distance(run(unet, "unet"), expected) < ROUNDING
    assert calls.count == attentions(unet)
    run(unet, "unet")
    assert calls.count == attentions(unet)


# -- The rest ------------------------------------------------------------------------------------------------


def test_forward_chunking(unet, expected):
    unet.enable_forward_chunking(chunk_size=1, dim=1)
    assert distance(run(unet, "unet"), expected) < ROUNDING


def test_a_lora_adapter_of_the_network_alone(unet, expected, tmp_path):
    unet.add_adapter(
        peft.LoraConfig(r=2, target_modules=["to_q", "to_k", "to_k_motion"], init_lora_weights=False), "style"
    )
    changed = run(unet, "unet")
    assert distance(changed, expected) > 1e-3
    unet.save_lora_adapter(tmp_path, adapter_name="style")
    unet.set_adapters("style", weights=0.0)
    assert distance(run(unet, "unet"), expected) < ROUNDING
    unet.delete_adapters("style")
    file = "pytorch_lora_weights.safetensors"
    unet.load_lora_adapter(tmp_path, weight_name=file, prefix=None, adapter_name="again")
    assert distance(run(unet, "unet"), changed) < ROUNDING


def test_weights_under_an_adapter_are_not_saved_by_names_that_nothing_loads(unet, expected, tmp_path):
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_k_motion"], init_lora_weights=False), "style")
    changed = run(unet, "unet")
    with pytest.raises(UserError, match="cannot be saved with LoRA adapters in it; call `unload_lora"):
        unet.save_pretrained(tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    unet.fuse_lora()
    unet.unload_lora()
    unet.save_pretrained(tmp_path / "fused")
    loaded = hp.HunyuanPortraitUNet.from_pretrained(tmp_path / "fused")
    assert distance(run(loaded, "unet"), changed) < 1e-4  # the product added to weights of another size
    assert distance(changed, expected) > 1e-3
