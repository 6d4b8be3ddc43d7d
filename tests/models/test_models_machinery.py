"""diffusers' machinery on our UNet: compilation, LoRA, checkpointing, casting, chunking, attention backends."""

import copy

import peft
import pytest
import torch
from diffusers.models import attention_dispatch
from runs import distance
from synthetic import normal

# float32 sums in another order, on an output of deviation near 1
ROUNDING = 1e-5


def inputs(**changes) -> dict[str, torch.Tensor]:
    return {
        "sample": normal("unet/sample", (1, 3, 8, 8, 8)),
        "timestep": torch.tensor(0.7),
        "encoder_hidden_states": normal("unet/image", (1, 16, 64)),
        "added_time_ids": torch.tensor([[12.5, 0.0, 0.0]]),
        "motion_hidden_states": normal("unet/motion", (1, 3, 16, 64)),
        "pose_features": normal("unet/pose", (1, 1, 32, 8, 8)),
        **changes,
    }


@pytest.fixture
def unet(tiny_pipeline):
    """A copy that a test may change."""
    return copy.deepcopy(tiny_pipeline.unet)


@pytest.fixture
def expected(tiny_pipeline) -> torch.Tensor:
    with torch.no_grad():
        return tiny_pipeline.unet(**inputs()).sample


def test_compiles_without_a_graph_break(unet, expected):
    """`eager` runs what dynamo captured as it is, so nothing is generated; a break would raise."""
    torch.compiler.reset()
    compiled = torch.compile(unet, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert distance(compiled(**inputs()).sample, expected) < ROUNDING
        nothing = compiled(**inputs(encoder_hidden_states=None, motion_hidden_states=None)).sample
        assert distance(nothing, expected) > 0.01


def test_repeated_blocks_are_those_of_the_network(unet, expected):
    found = {type(module).__name__ for module in unet.modules()}
    assert found >= set(unet._repeated_blocks)
    torch.compiler.reset()
    unet.compile_repeated_blocks(fullgraph=True, backend="eager")
    with torch.no_grad():
        assert distance(unet(**inputs()).sample, expected) < ROUNDING


def test_gradient_checkpointing_changes_no_gradient(unet):
    def gradients() -> dict[str, torch.Tensor]:
        unet.zero_grad()
        output = unet(**inputs()).sample
        output.square().mean().backward()
        return {name: p.grad.clone() for name, p in unet.named_parameters() if p.grad is not None}

    unet.train()
    plain = gradients()
    unet.enable_gradient_checkpointing()
    assert unet.is_gradient_checkpointing
    calls = []
    for block in unet.down_blocks[0].attentions:
        original = block._gradient_checkpointing_func
        block._gradient_checkpointing_func = lambda *args, original=original: calls.append(1) or original(*args)
    checkpointed = gradients()
    assert len(calls) == 2  # one spatial and one temporal block
    assert plain.keys() == checkpointed.keys()
    for name in plain:
        torch.testing.assert_close(checkpointed[name], plain[name], rtol=1e-4, atol=1e-6, msg=name)


def test_layerwise_casting(unet, expected):
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert unet.down_blocks[0].attentions[0].proj_in.weight.dtype == torch.float8_e4m3fn
    with torch.no_grad():
        output = unet(**inputs()).sample
    assert output.dtype == torch.float32
    assert distance(output, expected) < 1  # weights of three bits of mantissa: the picture stays, noise is added
    assert torch.corrcoef(torch.stack([output.flatten(), expected.flatten()]))[0, 1] > 0.98


def test_forward_chunking(unet, expected):
    unet.enable_forward_chunking(chunk_size=1, dim=1)
    with torch.no_grad():
        assert distance(unet(**inputs()).sample, expected) < ROUNDING


def test_attention_backend_reaches_every_processor(unet, expected, monkeypatch):
    unet.set_attention_backend("native")
    backends = {processor._attention_backend for processor in unet.attn_processors.values()}
    assert backends == {attention_dispatch.AttentionBackendName.NATIVE}
    used = []
    name = attention_dispatch.AttentionBackendName.NATIVE
    native = attention_dispatch._AttentionBackendRegistry._backends[name]
    monkeypatch.setitem(
        attention_dispatch._AttentionBackendRegistry._backends,
        name,
        lambda *args, **kwargs: used.append(1) or native(*args, **kwargs),
    )
    with torch.no_grad():
        assert distance(unet(**inputs()).sample, expected) < ROUNDING
    # A block's self-attention, and its cross-attention to the image and to the motion.
    blocks = [name for name in unet.attn_processors if name.endswith("attn1.processor")]
    assert len(used) == 3 * len(blocks)


def test_lora_on_image_and_motion_projections(unet, expected, tmp_path):
    unet.add_adapter(
        peft.LoraConfig(r=2, target_modules=["to_q", "to_k", "to_k_motion"], init_lora_weights=False), "style"
    )
    with torch.no_grad():
        changed = unet(**inputs()).sample
        assert distance(changed, expected) > 1e-3
        unet.save_lora_adapter(tmp_path, adapter_name="style")
        unet.set_adapters("style", weights=0.0)
        assert distance(unet(**inputs()).sample, expected) < ROUNDING
        unet.delete_adapters("style")
        file = "pytorch_lora_weights.safetensors"
        unet.load_lora_adapter(tmp_path, weight_name=file, prefix=None, adapter_name="again")
        assert distance(unet(**inputs()).sample, changed) < ROUNDING
