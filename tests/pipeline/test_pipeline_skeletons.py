"""Skeletons as a condition: fitted once, drawn window by window, and black where none are asked for."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from astronaut import portrait_picture
from dwpose_files import dotted_frames, dotted_portrait, write_dwpose
from runs import Calls, make_conditions, small_run

from diffusers_hunyuan_portrait import PortraitConditions
from diffusers_hunyuan_portrait.conditions import EASING
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import skeletons
from diffusers_hunyuan_portrait.face.skeletons.dwpose import DWPose
from diffusers_hunyuan_portrait.face.skeletons.keypoints import EYES
from diffusers_hunyuan_portrait.progress import no_progress
from diffusers_hunyuan_portrait.tiny import make_tiny

NUM_FRAMES = 6


def scattered(num_frames: int, size: int = 64) -> torch.Tensor:
    """Points anywhere in the pictures, (1, F, 134, 3)."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (1, num_frames, 134, 3)) * [size, size, 1]
    return torch.from_numpy(points.astype(np.float32))


def as_pictures(keypoints: torch.Tensor, size: int = 64) -> torch.Tensor:
    drawn = torch.from_numpy(skeletons.draw_skeletons(keypoints[0].numpy(), size, size))
    return drawn.permute(3, 0, 1, 2)[None].float() / 255


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return DWPose(write_dwpose(tmp_path_factory.mktemp("dwpose")))


@pytest.fixture(scope="module")
def prepared(pipe, detector, estimator) -> PortraitConditions:
    frames = np.stack(list(dotted_frames(NUM_FRAMES)))
    return pipe.prepare_conditions(
        dotted_portrait(), frames, detector=detector, pose=estimator, pad_frames=2, on_progress=no_progress
    )


def test_points_give_what_their_pictures_give_to_the_bit(tiny_pipeline):
    plain, keypoints = make_conditions("small", 5), scattered(5)
    drawn = small_run(tiny_pipeline, conditions=replace(plain, pose_keypoints=keypoints))
    given = small_run(tiny_pipeline, conditions=replace(plain, pose_images=as_pictures(keypoints)))
    assert torch.equal(drawn, given)
    assert not torch.equal(drawn, small_run(tiny_pipeline, conditions=plain))


def test_nobody_found_is_black(tiny_pipeline):
    plain = make_conditions("small", 5)
    nobody = replace(plain, pose_keypoints=torch.zeros(1, 5, 134, 3))
    black = replace(plain, pose_images=torch.zeros(1, 3, 5, 64, 64))
    assert torch.equal(small_run(tiny_pipeline, conditions=nobody), small_run(tiny_pipeline, conditions=black))


@pytest.mark.parametrize("num_frames", [9, 40])
def test_no_more_than_a_window_is_drawn_at_once(tiny_pipeline, monkeypatch, num_frames):
    calls = Calls(monkeypatch, skeletons, "draw_skeletons")
    conditions = replace(make_conditions("small", num_frames), pose_keypoints=scattered(num_frames))
    small_run(tiny_pipeline, num_frames, conditions=conditions, num_inference_steps=1, latents=None)
    assert {len(arguments[0]) for arguments, _ in calls.arguments} == {4}  # the window's frames
    assert calls.count >= num_frames / 4


def test_black_is_the_default_and_draws_nothing(pipe, detector, monkeypatch):
    calls = Calls(monkeypatch, skeletons, "draw_skeletons")
    frames = np.stack(list(dotted_frames(2)))
    conditions = pipe.prepare_conditions(dotted_portrait(), frames, detector=detector, on_progress=no_progress)
    assert conditions.pose_images is None
    assert conditions.pose_keypoints is None
    pipe(conditions=conditions, num_inference_steps=1, output_type="latent", on_progress=no_progress)
    assert calls.count == 0


def test_the_drivers_first_nose_is_on_the_portraits(prepared):
    x1, y1, x2, y2 = prepared.portrait_box
    keypoints = prepared.pose_keypoints
    assert keypoints.shape == (1, NUM_FRAMES + 4, 134, 3)
    height, width = prepared.portrait.shape[-2:]
    # Where the stand-in puts the dot of the portrait, to the pixels that the dot is wide.
    expected = (np.array([225, 129]) - [x1, y1]) * [width / (x2 - x1), height / (y2 - y1)]
    np.testing.assert_allclose(keypoints[0, 2, 0, :2], expected, atol=4 * width / (x2 - x1))
    assert not keypoints[:, :, list(EYES)].any()
    # It moves as the dot does: 2 to the right and 1 down a frame.
    way = keypoints[0, 1 + NUM_FRAMES, 0, :2] - keypoints[0, 2, 0, :2]
    np.testing.assert_allclose(way / (width / (x2 - x1)), [10, 5], atol=3)


def test_padding_repeats_the_ends(prepared):
    keypoints = prepared.pose_keypoints[0]
    assert torch.equal(keypoints[:2], keypoints[2:3].expand(2, -1, -1))
    assert torch.equal(keypoints[-2:], keypoints[-3:-2].expand(2, -1, -1))


def test_the_eyes_stay_where_they_are_wanted(pipe, detector, estimator):
    frames = np.stack(list(dotted_frames(2)))
    settings = {"detector": detector, "pose": estimator, "pose_eyes": True, "on_progress": no_progress}
    conditions = pipe.prepare_conditions(dotted_portrait(), frames, **settings)
    assert (conditions.pose_keypoints[:, :, list(EYES), 2] > 0).all()


def test_stored_conditions_run_as_before(pipe, prepared):
    file = io.BytesIO()
    torch.save(vars(prepared), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    runs = [
        pipe(
            conditions=conditions,
            num_inference_steps=1,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            on_progress=no_progress,
        ).frames
        for conditions in (prepared, loaded)
    ]
    assert torch.equal(*runs)


class Blinking:
    """Finds no face in some of the frames it is asked for."""

    def __init__(self, detector, missed: range) -> None:
        self.detector, self.missed, self.asked = detector, missed, -1

    def detect(self, image):
        self.asked += 1
        return [] if self.asked - 2 in self.missed else self.detector.detect(image)  # the portrait's come first


def test_a_frame_without_the_person_holds_and_goes_over_smoothly(pipe, detector, estimator):
    missed = range(2, 2 + EASING + 4)
    frames = np.stack(list(dotted_frames(missed.stop + 2)))
    settings = {"pose": estimator, "pad_frames": 0, "on_progress": no_progress}
    held = pipe.prepare_conditions(dotted_portrait(), frames, detector=Blinking(detector, missed), **settings)
    seen = pipe.prepare_conditions(dotted_portrait(), frames, detector=detector, **settings)
    nose, own = held.pose_keypoints[0, :, 0, :2], seen.pose_keypoints[0, :, 0, :2]
    outside = [index for index in range(len(nose)) if index not in missed]
    torch.testing.assert_close(nose[outside], own[outside])
    for frame in missed[:-EASING]:
        assert torch.equal(nose[frame], nose[1])
    back = nose[missed.stop - EASING : missed.stop + 1].diff(dim=0)
    torch.testing.assert_close(back, back[:1].expand_as(back), atol=1e-2, rtol=0)
    assert back[0, 0] > 0


def test_it_is_told_once_that_the_released_weights_saw_black(detector, estimator, caplog):
    pipe, frames = make_tiny(torch.float32), np.stack(list(dotted_frames(1)))
    for pose in ("none", estimator, estimator):
        pipe.prepare_conditions(dotted_portrait(), frames, detector=detector, pose=pose, on_progress=no_progress)
        told = caplog.text.count("The released weights have seen black pose pictures only")
        assert told == (0 if pose == "none" else 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pose": "openpose"}, "no pose 'openpose'; choose none or dwpose"),
        ({"pose_eyes": True}, "only where there is one"),
        ({"pose": "dwpose", "head": "relative"}, "cannot be turned otherwise"),
        ({"pose": "dwpose", "head_scale": 0.5}, "cannot be turned otherwise"),
    ],
)
def test_what_does_not_go_together_is_told(pipe, detector, settings, said):
    with pytest.raises(UserError, match=said):
        pipe.prepare_conditions(dotted_portrait(), dotted_portrait()[None], detector=detector, **settings)


def test_a_portrait_without_a_skeleton_is_told_before_the_clip_is_read(pipe, detector, estimator, monkeypatch):
    calls = Calls(monkeypatch, pipe, "_read_motion")
    with pytest.raises(UserError, match="no nose in the portrait"):
        pipe.prepare_conditions(
            portrait_picture(), dotted_portrait()[None], detector=detector, pose=estimator, on_progress=no_progress
        )
    assert calls.count == 0
