"""Half precision: close to float32, with what the released weights need in float32 left there."""

import logging

import pytest
import torch
from networks import correlation
from runs import Calls, distance, small_run

import diffusers_hunyuan_portrait as hp


@pytest.fixture
def pipe(tiny_model_dir):
    return hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir)


@pytest.mark.parametrize(
    ("dtype", "bar"),
    [
        # Deviations of the mean difference: ten bits of mantissa, or seven, through two steps and the decoder.
        (torch.float16, 0.01),
        (torch.bfloat16, 0.08),
    ],
)
def test_half_precision_is_close(dtype, bar, pipe, tiny_pipeline, monkeypatch):
    expected = small_run(tiny_pipeline, output_type="pt")
    pipe.to(dtype)
    calls = Calls(monkeypatch, pipe.unet, "forward")
    decoded = Calls(monkeypatch, pipe.vae, "decode")
    frames = small_run(pipe, output_type="pt")
    assert frames.dtype == torch.float32
    assert ((frames - expected).abs().mean() / expected.std()).item() < bar
    assert frames.std() > 0.5 * expected.std()
    for args, kwargs in calls.arguments:
        tensors = [tensor for tensor in (*args, *kwargs.values()) if isinstance(tensor, torch.Tensor)]
        assert {tensor.dtype for tensor in tensors} == {dtype}
    assert decoded.arguments[0][0][0].dtype == dtype
    assert small_run(pipe).dtype == torch.float32  # latents are kept in float32 between steps


def test_the_motion_extractor_stays_in_float32_without_a_warning(pipe, tiny_pipeline, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    pipe.to(torch.float16)
    assert {weight.dtype for weight in pipe.motion_extractor.parameters()} == {torch.float32}
    assert not [record for record in caplog.records if "MotionExtractor" in record.getMessage()]
    crops = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    landmarks = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1)) * 100
    tokens = pipe.encode_motion(crops, crops, landmarks, pad_frames=0)
    assert tokens.dtype == torch.float16
    exact = tiny_pipeline.encode_motion(crops, crops, landmarks, pad_frames=0)
    assert torch.equal(tokens, exact.half())


def test_the_motion_extractor_goes_to_a_device_whatever_type_is_asked_for(pipe):
    pipe.motion_extractor.to("meta", torch.float16)
    weight = next(pipe.motion_extractor.parameters())
    assert (weight.device.type, weight.dtype) == ("meta", torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layerwise_casting_of_the_unet(dtype, tiny_model_dir, tiny_pipeline):
    expected = small_run(tiny_pipeline, output_type="pt")
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype={"unet": dtype})
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    stored = [weight.element_size() for name, weight in pipe.unet.named_parameters() if "proj_in.weight" in name]
    assert set(stored) == {1}
    frames = small_run(pipe, output_type="pt")
    # Three bits of mantissa: the picture stays, noise is added.
    assert correlation(frames, expected) > 0.95
    assert distance(frames, expected) > 0.01
