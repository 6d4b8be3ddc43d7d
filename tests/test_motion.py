"""A motion as a thing of its own: stored and read back, refused where it is wrong, and as good as its clip."""

import json
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from astronaut import moving_frames, portrait_picture
from dwpose_files import dotted_frames, dotted_portrait, write_dwpose
from media_clips import make_clip, sound_of
from safetensors.torch import load_file, save_file

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.animation import animate
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import load_detector
from diffusers_hunyuan_portrait.face.skeletons.dwpose import DWPose
from diffusers_hunyuan_portrait.motion import DrivingMotion, fingerprint
from diffusers_hunyuan_portrait.tiny import make_tiny

NUM_FRAMES = 9


def quiet(stage, done, total):
    pass


@pytest.fixture(scope="module")
def pipe():
    return make_tiny(torch.float32)


@pytest.fixture(scope="module")
def detector():
    return load_detector("mtcnn")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A face that moves, with sound, at 24 frames a second."""
    folder = tmp_path_factory.mktemp("clip")
    tone = make_clip(folder / "tone.mp4", frames=NUM_FRAMES, rate=24, sound=["aac"])
    with media.VideoWriter(folder / "driving.mp4", frame_rate=24, sound_from=tone) as writer:
        for frame in moving_frames(NUM_FRAMES):
            writer.write(frame)
    return folder / "driving.mp4"


@pytest.fixture(scope="module")
def motion(pipe, detector, clip):
    return pipe.prepare_motion(clip, detector=detector, on_progress=quiet).of_encoders(pipe.motion_extractor)


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return DWPose(write_dwpose(tmp_path_factory.mktemp("dwpose")))


@pytest.fixture(scope="module")
def dotted_clip(tmp_path_factory):
    """One in which the stand-in for DWPose sees a person."""
    path = tmp_path_factory.mktemp("clip") / "driving.mp4"
    with media.VideoWriter(path, frame_rate=25) as writer:
        for frame in dotted_frames(NUM_FRAMES):
            writer.write(frame)
    return path


def same(one: DrivingMotion, other: DrivingMotion) -> bool:
    values = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(DrivingMotion)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in values)


def test_a_motion_says_what_the_clip_has(motion, clip):
    assert len(motion) == NUM_FRAMES
    assert motion.frame_rate == Fraction(24)
    assert motion.sound == clip
    assert motion.sound_span is None
    np.testing.assert_allclose(motion.timestamps, np.arange(NUM_FRAMES) / 24, atol=1e-6)
    assert motion.landmarks.std(dim=0).max() > 0.5  # pixels: the face does move
    assert motion.levels.shape == (1, 2)


@pytest.mark.parametrize("suffix", [".safetensors", ".SafeTensors"])
def test_a_motion_comes_back_as_it_was(motion, tmp_path, suffix):
    changed = replace(
        motion,
        held=torch.tensor([2, 3]),
        sound_span=(0.25, 0.5),
        is_variable_rate=True,
        sound=tmp_path / "a b.mp4",
    )
    for one in (motion, changed):
        assert same(DrivingMotion.load(one.save(tmp_path / f"motion{suffix}")), one)
    assert [file.name for file in tmp_path.iterdir()] == [f"motion{suffix}"]


def test_a_file_animates_as_the_clip_does_to_the_byte(pipe, detector, clip, motion, tmp_path):
    """Sound included."""
    stored = motion.save(tmp_path / "motion.safetensors")
    files = []
    for driving in (clip, stored, motion):
        files.append(tmp_path / f"{len(files)}.mp4")
        generator = torch.Generator().manual_seed(0)
        settings = {"num_inference_steps": 1, "generator": generator, "on_progress": quiet}
        animate(pipe, portrait_picture(), driving, files[-1], detector=detector, provenance=False, **settings)
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()
    assert sound_of(files[1]).packets == sound_of(clip).packets


def test_a_file_with_skeletons_animates_as_the_clip_does_to_the_byte(
    pipe, detector, estimator, dotted_clip, tmp_path
):
    """And otherwise than without them."""
    motion = pipe.prepare_motion(dotted_clip, detector=detector, pose=estimator, on_progress=quiet)
    stored = motion.save(tmp_path / "motion.safetensors")
    assert same(DrivingMotion.load(stored), motion)
    # Raw, in the clip's pixels: the dot, 9 wide, goes 2 to the right and 1 down in each frame.
    nose = motion.keypoints[:, 0]
    torch.testing.assert_close(nose[-1, :2] - nose[0, :2], torch.tensor([16.0, 8.0]), atol=5, rtol=0)
    files = []
    for driving, pose in ((dotted_clip, estimator), (stored, estimator), (stored, "none"), (dotted_clip, "none")):
        files.append(tmp_path / f"{len(files)}.mp4")
        settings = {"num_inference_steps": 1, "generator": torch.Generator().manual_seed(0), "on_progress": quiet}
        animate(
            pipe, dotted_portrait(), driving, files[-1], detector=detector, pose=pose, provenance=False, **settings
        )
    shown, again, black, black_again = (file.read_bytes() for file in files)
    assert shown == again
    assert black == black_again
    assert shown != black


def test_a_file_without_skeletons_says_so(pipe, detector, estimator, motion, tmp_path):
    """Those of before there were any, too."""
    stored = motion.save(tmp_path / "motion.safetensors")
    assert "keypoints" not in load_file(stored)
    loaded = DrivingMotion.load(stored)
    assert loaded.keypoints is None
    with pytest.raises(UserError, match="has no key points for skeletons; extract it with --pose dwpose"):
        pipe.prepare_conditions(dotted_portrait(), loaded, detector=detector, pose=estimator)


def test_part_of_a_clip_keeps_its_part_of_the_sound(pipe, detector, clip, tmp_path):
    part = media.Excerpt(media.open_frames(clip), start=0.1, end=0.3)
    motion = pipe.prepare_motion(part, detector=detector, on_progress=quiet)
    assert motion.sound_span == pytest.approx((3 / 24, 8 / 24))
    settings = {"num_inference_steps": 1, "on_progress": quiet, "crop_only": True}
    output = animate(pipe, portrait_picture(), motion, tmp_path / "out.mp4", detector=detector, **settings)
    assert media.VideoReader(output).frame_count == len(motion) == 5
    assert sound_of(output) is not None


def test_a_sound_that_is_gone_is_told_and_left_out(pipe, detector, motion, tmp_path, caplog):
    lost = replace(motion, sound=tmp_path / "gone.mp4")
    settings = {"num_inference_steps": 1, "on_progress": quiet, "crop_only": True}
    output = animate(pipe, portrait_picture(), lost, tmp_path / "out.mp4", detector=detector, **settings)
    assert sound_of(output) is None
    assert "gone.mp4, is gone and left out" in caplog.text


def test_a_motion_of_other_encoders_is_refused(pipe, detector, motion):
    other = replace(motion, encoders="0123456789abcdef")
    with pytest.raises(UserError, match="another model's encoders"):
        pipe.prepare_conditions(portrait_picture(), other, detector=detector)


def test_a_fingerprint_is_the_encoders_alone(pipe, motion):
    extractor = make_tiny(torch.float32).motion_extractor
    assert fingerprint(extractor) == motion.encoders
    with torch.no_grad():
        extractor.refiner.memory_bank += 1
        assert fingerprint(extractor) == motion.encoders
        next(extractor.head_pose_encoder.parameters()).mul_(2)
    assert fingerprint(extractor) != motion.encoders


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rotation": torch.zeros(NUM_FRAMES - 1, 3)}, "rotation"),
        ({"rotation": torch.zeros(NUM_FRAMES, 4)}, "rotation"),
        ({"landmarks": torch.full((NUM_FRAMES, 5, 2), torch.nan)}, "not finite"),
        ({"expression": torch.zeros(NUM_FRAMES, 7, dtype=torch.float16)}, "float16"),
        ({"keypoints": torch.zeros(NUM_FRAMES, 18, 3)}, "keypoints"),
        ({"keypoints": torch.full((NUM_FRAMES, 134, 3), torch.inf)}, "not finite"),
        ({"levels": torch.tensor([[5, 128]])}, "from 0 to 127"),
        ({"levels": torch.tensor([[5, 12]] * 2)}, "cannot have 2 pairs"),
        ({"chunk_size": 0}, "chunks of 0"),
        ({"held": torch.tensor([NUM_FRAMES])}, f"cannot hold frame {NUM_FRAMES}"),
        ({"timestamps": torch.zeros(NUM_FRAMES, dtype=torch.float64)}, "must rise"),
        ({"frame_rate": Fraction(0)}, "above 0"),
    ],
)
def test_what_is_no_motion_is_refused(motion, changes, said):
    with pytest.raises(UserError, match=said):
        replace(motion, **changes)


def test_a_file_of_something_else_is_refused(motion, tmp_path):
    file = motion.save(tmp_path / "motion.safetensors")
    tensors = load_file(file)
    save_file(tensors, tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="holds no motion; make one by `hunyuan-portrait extract`"):
        DrivingMotion.load(tmp_path / "bare.safetensors")
    facts = {"format": "hunyuan-portrait-motion", "version": "2", "facts": "{}"}
    save_file(tensors, tmp_path / "later.safetensors", facts)
    with pytest.raises(UserError, match="of version 2, and this program reads 1"):
        DrivingMotion.load(tmp_path / "later.safetensors")
    for facts in ("{}", "[]", "no json", json.dumps({"sound": None, "sound_span": None, "frame_rate": "1/0"})):
        save_file(
            tensors,
            tmp_path / "odd.safetensors",
            {"format": "hunyuan-portrait-motion", "version": "1", "facts": facts},
        )
        with pytest.raises(UserError, match="cannot be read"):
            DrivingMotion.load(tmp_path / "odd.safetensors")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match="cannot be read"):
        DrivingMotion.load(file)
    with pytest.raises(UserError, match="cannot be read"):
        DrivingMotion.load(tmp_path / "missing.safetensors")


def test_a_motion_is_written_whole_or_not_at_all(motion, tmp_path):
    with pytest.raises(UserError, match=r"ends in \.safetensors"):
        motion.save(tmp_path / "motion.mp4")
    with pytest.raises(UserError, match="cannot be written"):
        motion.save(tmp_path / "nowhere" / "motion.safetensors")
    assert list(tmp_path.iterdir()) == []
