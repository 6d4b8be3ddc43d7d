"""The UNet: tokens, windows of any size, and what is left out because it cannot change the result."""

import pytest
import torch
from runs import distance
from synthetic import normal
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.models.attention import PortraitContext, PortraitCrossAttention

pytestmark = pytest.mark.usefixtures("no_grad")

# float32 sums in another order, on an output of deviation near 1
ROUNDING = 1e-5


def inputs(batch: int = 2, frames: int = 3, height: int = 8, width: int = 8) -> dict[str, torch.Tensor]:
    return {
        "sample": normal("unet/sample", (batch, frames, 8, height, width)),
        "timestep": torch.tensor(0.7),
        "encoder_hidden_states": normal("unet/image", (batch, frames, 16, 64)),
        "added_time_ids": torch.tensor([[12.5, 0.0, 0.0]] * batch),
        "motion_hidden_states": normal("unet/motion", (batch, frames, 16, 64)),
        "pose_features": normal("unet/pose", (batch, frames, 32, height, width)),
    }


@pytest.fixture(scope="module")
def unet(tiny_pipeline):
    return tiny_pipeline.unet


def test_each_of_a_batch_may_have_its_own_time(unet):
    together = unet(**{**inputs(), "timestep": torch.tensor([0.7, -0.4])}).sample
    second = unet(**{**inputs(), "timestep": -0.4}).sample[1:]
    assert distance(together[1:], second) < ROUNDING


@pytest.mark.parametrize("tokens", ["encoder_hidden_states", "motion_hidden_states"])
def test_no_tokens_are_as_zero_tokens(unet, tokens):
    zeros = torch.zeros_like(inputs()[tokens])
    left_out = unet(**{**inputs(), tokens: None}).sample
    assert distance(left_out, unet(**{**inputs(), tokens: zeros}).sample) < ROUNDING
    assert distance(left_out, unet(**inputs()).sample) > 0.01  # tokens do count


def test_no_tokens_of_either_kind_are_as_zero_tokens(unet):
    names = "encoder_hidden_states", "motion_hidden_states"
    left_out = unet(**{**inputs(), **dict.fromkeys(names)}).sample
    zeros = {name: torch.zeros_like(inputs()[name]) for name in names}
    assert distance(left_out, unet(**{**inputs(), **zeros}).sample) < ROUNDING


def test_image_tokens_of_one_frame_serve_all(unet):
    tokens = inputs()["encoder_hidden_states"][:, 0]  # (batch, tokens, channels)
    repeated = tokens[:, None].expand(-1, 3, -1, -1)
    once = unet(**{**inputs(), "encoder_hidden_states": tokens}).sample
    assert distance(once, unet(**{**inputs(), "encoder_hidden_states": repeated}).sample) < ROUNDING


def test_pose_features_of_one_frame_serve_all(unet):
    features = inputs()["pose_features"][:1, :1]
    once = unet(**{**inputs(), "pose_features": features}).sample
    repeated = unet(**{**inputs(), "pose_features": features.expand(2, 3, -1, -1, -1)}).sample
    assert torch.equal(once, repeated)


def test_each_frame_sees_its_own_tokens_and_time_their_mean():
    image, motion = normal("image", (2, 3, 5, 4)), normal("motion", (2, 3, 6, 4))
    context = PortraitContext.from_tokens(image, motion)
    assert torch.equal(context.spatial.image.unflatten(0, (2, 3)), image)
    assert torch.equal(context.spatial.motion.unflatten(0, (2, 3)), motion)
    torch.testing.assert_close(context.temporal.image, (image[:, 0] + image[:, 1] + image[:, 2]) / 3)
    torch.testing.assert_close(context.temporal.motion, (motion[:, 0] + motion[:, 1] + motion[:, 2]) / 3)


def test_temporal_keys_are_formed_once_per_batch_entry(unet):
    """And not at each of the 64 pixels, nor at each frame."""
    seen = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0].shape))
        for name, module in unet.named_modules()
        if name.endswith(("attn2.to_k", "attn2.to_v", "attn2.to_k_motion", "attn2.to_v_motion"))
    ]
    unet(**{**inputs(), "encoder_hidden_states": normal("unet/image", (2, 16, 64))})
    for hook in hooks:
        hook.remove()
    temporal = {name: shape for name, shape in seen.items() if "temporal_transformer_blocks" in name}
    spatial = {name: shape for name, shape in seen.items() if name not in temporal}
    assert len(temporal) == len(spatial) > 0
    assert set(temporal.values()) == {(2, 16, 64)}
    # Image tokens that are the same in all frames are projected once, motion tokens once a frame.
    assert {shape for name, shape in spatial.items() if "motion" in name} == {(6, 16, 64)}
    assert {shape for name, shape in spatial.items() if "motion" not in name} == {(2, 16, 64)}


def test_temporal_attention_is_that_of_repeated_tokens(unet):
    """Folding pixels into the query gives what attention at each pixel gives, computed here pixel by pixel."""
    attention = next(
        module
        for name, module in unet.named_modules()
        if isinstance(module, PortraitCrossAttention) and "temporal" in name
    )
    context = PortraitContext.from_tokens(None, normal("motion", (2, 3, 16, 64))).temporal
    pixels, channels = 4, attention.to_q.in_features
    hidden = normal("hidden", (2 * pixels, 3, channels))  # (batch · pixels, frames, channels)
    folded = attention(hidden, context)

    def heads(x):
        return x.unflatten(-1, (attention.heads, -1)).transpose(0, 1)  # (heads, tokens, head channels)

    for row in range(2 * pixels):
        tokens = context.motion[row // pixels]
        query, key = heads(attention.to_q(hidden[row])), heads(attention.to_k_motion(tokens))
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        value = (weights @ heads(attention.to_v_motion(tokens))).transpose(0, 1).flatten(1)
        torch.testing.assert_close(folded[row], attention.to_out[0](value), rtol=0, atol=1e-5)


def test_every_cross_attention_attends_to_motion(unet):
    names = [name for name, module in unet.named_modules() if name.endswith("attn2")]
    assert names
    assert all(isinstance(unet.get_submodule(name), PortraitCrossAttention) for name in names)


@pytest.mark.parametrize("sides", [(9, 5), (1, 1), (7, 8)])
def test_sides_need_not_halve_evenly(unet, sides):
    output = unet(**inputs(1, 2, *sides)).sample
    assert output.shape == (1, 2, 4, *sides)
    assert output.isfinite().all()


def test_work_of_a_window():
    """At the published size, 25 frames of 512×512: the contract's counts for builds that repeat nothing."""
    work = []
    with FakeTensorMode():
        unet = hp.HunyuanPortraitUNet()
        sample, ids = torch.empty(1, 25, 8, 64, 64), torch.zeros(1, 3)
        image, motion = torch.empty(1, 64, 1024), torch.empty(1, 25, 64, 1024)
        for branch in ((None, None), (image, motion)):
            with FlopCounterMode(display=False) as counter:
                unet(sample, 0.5, branch[0], ids, branch[1], torch.empty(1, 1, 320, 64, 64))
            counts = counter.get_flop_counts()["Global"]
            work.append(sum(n for operator, n in counts.items() if "attention" not in str(operator)) / 1e12)
    without, full = work
    assert full == pytest.approx(28.7, abs=0.05)
    assert without + full < 56.05
