"""Examples hold what inference would show the networks, with the portrait's frame as the driver's first."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from training_parts import FACE_BOX, SIDE, make_clip, make_pipeline

from diffusers_hunyuan_portrait.dataset import add_expression, add_latents, face_crops, pose_crops
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.training import ExampleOptions, ObjectiveOptions, PortraitTraining, Sizes
from diffusers_hunyuan_portrait.training.examples import box_masks, feature_masks, jitter_colors, make_example

PIPE = make_pipeline()
SIZES = Sizes.of(PIPE)
PLAIN = ExampleOptions(brightness=0, contrast=0, saturation=0, hue=0)


def draw(clip, num_frames=5, options=PLAIN, seed=0):
    return make_example(clip, num_frames, SIZES, options, np.random.default_rng(seed))


def motion_of(example):
    with torch.no_grad():
        return PortraitTraining(PIPE).encode_motion(default_collate([example]))[0]


def inference_motion(clip, pad_frames):
    faces = face_crops(clip.frames, clip.landmarks, clip.face_boxes[0], SIZES.motion)
    heads = pose_crops(clip.frames, SIZES.motion)
    return PIPE.encode_motion(faces / 255, heads / 255, clip.landmarks, pad_frames=pad_frames)[0]


def place_in(run, whole):
    """Where the run of frames begins in the whole clip, going around; it must be there once."""
    frames = torch.arange(len(run))
    distances = [(whole[(frames + start) % len(whole)] - run).abs().max() for start in range(len(whole))]
    best = int(np.argmin(distances))
    assert distances[best] < 1e-4  # float32, in other batches
    return best


def still_box_clip(length=25):
    """All frames have the same face box, so that it does not matter which one a crop leans on."""
    return make_clip(3, length, face_boxes=np.tile(FACE_BOX, (length, 1)))


def test_a_run_has_the_motion_tokens_that_inference_makes():
    clip = still_box_clip()
    whole = inference_motion(clip, pad_frames=0)
    starts = {place_in(motion_of(draw(clip, seed=seed)), whole) for seed in range(6)}
    assert len(starts) > 1
    assert max(starts) <= 25 - 5


def test_a_padded_run_is_a_window_of_the_padded_clip():
    clip = still_box_clip()
    whole = inference_motion(clip, pad_frames=15)
    options = ExampleOptions(brightness=0, contrast=0, saturation=0, hue=0, padding_probability=1)
    for seed in range(6):
        example = draw(clip, options=options, seed=seed)
        start = place_in(motion_of(example), whole)
        frames = (start + np.arange(5)) % 55
        padded = (frames < 15) | (frames >= 40)
        assert padded.any()
        assert not padded.all()
        shown = clip.frames[(frames - 15).clip(0, 24)]
        assert np.array_equal(example["frames"].permute(0, 2, 3, 1).numpy(), shown)


def test_the_crops_lean_on_the_face_box_of_the_portraits_frame():
    clip = make_clip(5)
    example = draw(clip)
    pictures = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
    anchors = [k for k in range(len(clip)) if torch.equal(pictures[k], example["portrait"])]
    first = next(k for k in range(len(clip)) if torch.equal(pictures[k : k + 5], example["frames"]))
    run = slice(first, first + 5)
    expected = [
        face_crops(clip.frames[run], clip.landmarks[run], clip.face_boxes[k], SIZES.motion) for k in anchors
    ]
    found = (example["face_crops"] * 255).round().to(torch.uint8)
    assert any(torch.equal(found, crops) for crops in expected)


def test_stored_numbers_give_the_loss_that_pictures_give():
    clip = add_latents(still_box_clip(), PIPE.vae)
    clip = add_expression(clip, PIPE.motion_extractor, anchors=range(len(clip)))
    cached = ExampleOptions(cached_latents=True, cached_motion=True)
    stage = PortraitTraining(PIPE, ObjectiveOptions(drop_all=0, drop_motion=0))
    losses = [stage(default_collate([draw(clip, options=options)])).item() for options in (cached, PLAIN)]
    # Caches are in half precision.
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_the_same_generator_draws_the_same_example():
    one, other = draw(make_clip(), seed=4), draw(make_clip(), seed=4)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_stylised_copies_serve_appearance_and_motion_apart():
    clip = make_clip()
    red, blue = np.zeros_like(clip.frames), np.zeros_like(clip.frames)
    red[..., 0], blue[..., 2] = 255, 255
    clip = make_clip(frames=np.full_like(clip.frames, 255), styles={"red": red, "blue": blue})
    options = ExampleOptions(brightness=0, contrast=0, saturation=0, hue=0, style_probability=1)
    pairs = set()
    for seed in range(30):
        example = draw(clip, options=options, seed=seed)
        assert torch.equal(example["portrait"], example["frames"][0])
        appearance = tuple(example["portrait"][:, 0, 0].tolist())
        motion = tuple((example["pose_crops"][0, :, 0, 0] * 255).int().tolist())
        pairs.add((appearance, motion))
    assert len({appearance for appearance, _ in pairs}) == 3
    assert any(appearance != motion for appearance, motion in pairs)


def test_colours_change_alike_in_all_frames_and_grey_stays_grey():
    options = ExampleOptions(brightness=0.3, contrast=0.3, saturation=0.5, hue=0.2)
    pictures = torch.rand(1, 3, 4, 4).repeat(3, 1, 1, 1)
    changed = jitter_colors(pictures, options, np.random.default_rng(0))
    assert not torch.allclose(changed, pictures, atol=0.05)
    assert torch.equal(changed[0], changed[1])
    assert changed.min() >= 0
    assert changed.max() <= 1
    grey = torch.rand(1, 1, 4, 4).expand(1, 3, 4, 4)
    changed = jitter_colors(grey, options, np.random.default_rng(0))
    # The matrix to luma and colour axes is given to three digits.
    assert (changed - changed.mean(1, keepdim=True)).abs().max() < 2e-3


def test_no_strength_leaves_colours_as_they_are():
    pictures = torch.rand(2, 3, 4, 4)
    assert torch.allclose(jitter_colors(pictures, PLAIN, np.random.default_rng(0)), pictures, atol=1e-6)


def test_a_mask_says_how_much_of_each_pixel_is_in_the_box():
    mask = box_masks(np.array([[0.5, 1.0, 2.0, 2.25], [-3.0, -3.0, 9.0, 9.0]]), 3)
    expected = np.array([[0, 0, 0], [0.5, 1, 0], [0.125, 0.25, 0]])
    assert np.allclose(mask[0, 0], expected)
    assert (mask[1] == 1).all()


def test_features_are_where_the_points_are_and_fade_with_the_distance_of_the_eyes():
    points = np.array([[4.5, 4.5], [14.5, 4.5], [9.5, 9.5], [6.5, 14.5], [12.5, 14.5]])  # eyes 10 pixels apart
    mask = feature_masks(np.stack([points, points / 2]), 20)
    assert mask.shape == (2, 1, 20, 20)
    for x, y in [*points, (9.5, 14.5)]:  # the mouth's middle too
        assert mask[0, 0, int(y), int(x)] == pytest.approx(1)
    assert mask[0, 0, 4, 0] == pytest.approx(np.exp(-0.5), abs=1e-6)  # 4 pixels from an eye
    assert mask[0, 0, 0, 19] < 0.6
    assert mask[1].sum() == pytest.approx(mask[0].sum() / 4, rel=0.15)


def test_the_mask_lies_on_the_latents():
    example = draw(still_box_clip())
    x1, y1, x2, y2 = FACE_BOX / SIDE * SIZES.latent
    assert example["face_mask"].sum((1, 2, 3)).tolist() == pytest.approx([(x2 - x1) * (y2 - y1)] * 5)


@pytest.mark.parametrize(
    ("length", "options", "told"),
    [
        (4, PLAIN, "4 frames"),
        (30, ExampleOptions(cached_latents=True), "latents stored"),
        (30, ExampleOptions(cached_motion=True), "anchors stored"),
        (30, ExampleOptions(pose="dwpose"), "key points stored for skeletons, but one has none; prepare"),
    ],
)
def test_a_clip_that_lacks_something_is_told_of(length, options, told):
    with pytest.raises(UserError, match=told):
        draw(make_clip(length=length), options=options)


def test_latents_of_another_size_are_told_of():
    clip = make_clip(latents=np.zeros((30, 4, 3, 3), np.float32))
    with pytest.raises(UserError, match=r"\(30, 4, 3, 3\)"):
        draw(clip, options=ExampleOptions(cached_latents=True))
