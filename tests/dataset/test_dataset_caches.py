"""What is stored of a clip is what the pipeline would see in it."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from painted_films import PaintedFaceDetector, paint, small_motion_extractor, small_vae

from diffusers_hunyuan_portrait import MotionExtractor, face
from diffusers_hunyuan_portrait.dataset import Clip, add_expression, add_latents, make_clip

# Numbers are stored in half precision, of 11 bits.
HALF = {"rtol": 2**-11, "atol": 1e-6}
SIZE = 32  # of the motion networks' crops


@pytest.fixture(scope="module")
def extractor() -> MotionExtractor:
    return small_motion_extractor()


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLTemporalDecoder:
    return small_vae()


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A noisy picture with a face that moves, as a clip whose portrait box is the whole picture."""
    rng = np.random.default_rng(0)
    frames = []
    for step in range(18):  # more than a batch
        frame = paint((30 + step, 32 - step // 2, 60 + step % 3), size=(128, 128))
        frame[..., 1] += rng.integers(0, 40, (128, 128), np.uint8)
        frames.append(frame)
    clip = make_clip(np.stack(frames), PaintedFaceDetector(), 128, 25.0)
    assert clip.source["box"] == [0, 0, 128, 128]
    return clip


@torch.no_grad()
def test_expression_and_rotation_are_those_of_a_driving_clip_that_begins_with_the_anchor(extractor, clip):
    seen = add_expression(clip, extractor, [5, 11])
    for row, anchor in enumerate([5, 11]):
        driving = [clip.frames[anchor], *clip.frames]
        crops = list(face.follow_driving(driving, PaintedFaceDetector(), SIZE))[1:]
        faces, heads = (
            torch.from_numpy(np.stack([getattr(crop, name) for crop in crops])).permute(0, 3, 1, 2) / 255
            for name in ("face_crop", "pose_crop")
        )
        wanted = extractor(faces, heads, 0, 0)
        np.testing.assert_allclose(seen.expression[row], wanted.expression, **HALF)
        np.testing.assert_allclose(seen.rotation[row], wanted.rotation, atol=1e-3)  # float32, batched otherwise
    assert np.abs(seen.expression[0] - seen.expression[1]).max() > 1e-3  # the anchor makes a difference
    assert seen.anchors.tolist() == [5, 11]


def test_jitter_changes_the_expression_of_each_anchor_and_no_rotation(extractor, clip):
    batches = []

    def jitter(face_crops):
        batches.append(face_crops)
        return 1 - face_crops if len(batches) == 2 else face_crops

    plain = add_expression(clip, extractor, [3, 3])
    jittered = add_expression(clip, extractor, [3, 3], jitter=jitter)
    assert [tuple(crops.shape) for crops in batches] == [(18, 3, SIZE, SIZE)] * 2
    assert all(crops.min() >= 0 and 0.5 < crops.max() <= 1 for crops in batches)
    np.testing.assert_array_equal(jittered.expression[0], plain.expression[0])
    assert np.abs(jittered.expression[1] - plain.expression[1]).max() > 1e-3
    np.testing.assert_array_equal(jittered.rotation, plain.rotation)


@torch.no_grad()
def test_latents_are_the_scaled_modes_that_the_unet_is_trained_on(vae, clip):
    seen = add_latents(clip, vae)
    assert (seen.latents.shape, seen.latents.dtype) == ((18, 4, 16, 16), np.float16)
    picture = torch.from_numpy(clip.frames[17]).permute(2, 0, 1)[None] / 127.5 - 1
    wanted = vae.encode(picture).latent_dist.mode()[0] * 0.18215
    np.testing.assert_allclose(seen.latents[17], wanted, **HALF)


def test_latents_are_computed_in_float32_by_a_vae_in_half_precision(vae, clip):
    rounded = small_vae().half()
    wanted = small_vae()
    wanted.load_state_dict({name: weight.half().float() for name, weight in vae.state_dict().items()})
    np.testing.assert_array_equal(add_latents(clip, rounded).latents, add_latents(clip, wanted).latents)
