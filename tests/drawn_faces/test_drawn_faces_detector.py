"""The detector of drawn faces gives the exact truth for the pictures it was told of, and nothing for others."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from diffusers_hunyuan_portrait.drawn_faces import (
    DrawnFaceDetector,
    Identity,
    Motion,
    draw,
    locate,
    random_motion,
)
from diffusers_hunyuan_portrait.face import crop_driving, crop_portrait

FRAMES = 12


@pytest.fixture(scope="module")
def clip() -> list[tuple[Identity, Motion]]:
    rng = np.random.default_rng(8)
    who = Identity.random(rng)
    return [(who, motion) for motion in random_motion(rng, FRAMES)]


@pytest.fixture(scope="module")
def people() -> list[tuple[Identity, Motion]]:
    rng = np.random.default_rng(9)
    return [(Identity.random(rng), random_motion(rng, 1)[0]) for _ in range(10)]


@pytest.fixture(scope="module")
def detector(clip, people) -> DrawnFaceDetector:
    return DrawnFaceDetector([*clip, *people])


@pytest.mark.parametrize("size", [64, 128, 200])
def test_it_gives_the_exact_face_at_each_size(detector, clip, people, size):
    for who, motion in [*clip, *people]:
        (face,) = detector.detect(draw(who, motion, size))
        truth = locate(who, motion, size)
        np.testing.assert_allclose(face.landmarks, truth.landmarks)
        np.testing.assert_allclose(face.box, truth.box)
        assert face.score == 1


def test_it_knows_a_picture_that_was_resized(detector, people):
    for who, motion in people:
        for size in (96, 300):
            picture = np.asarray(Image.fromarray(draw(who, motion, 128)).resize((size, size)))
            (face,) = detector.detect(picture)
            np.testing.assert_allclose(face.landmarks, locate(who, motion, size).landmarks)


def test_it_knows_frames_of_a_compressed_video(detector, clip, tmp_path: Path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "17"})
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for who, motion in clip:
            frame = av.VideoFrame.from_ndarray(draw(who, motion, 128), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for frame, (who, motion) in zip(frames, clip, strict=True):
        (face,) = detector.detect(frame)
        # A neighbour that looks alike may stand in: within two pixels, what a frame moves at most.
        assert np.abs(face.landmarks - locate(who, motion, 128).landmarks).max() < 2


def test_it_finds_nothing_in_other_pictures(detector):
    rng = np.random.default_rng(10)
    for seed in range(100, 120):
        other = np.random.default_rng(seed)
        assert detector.detect(draw(Identity.random(other), random_motion(other, 1)[0], 64)) == []
    assert detector.detect(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)) == []
    assert detector.detect(np.full((128, 128, 3), 128, dtype=np.uint8)) == []


def test_it_finds_nothing_in_a_picture_that_is_not_square(detector, people):
    wide = cv2.resize(draw(*people[0], 128), (192, 128))
    assert detector.detect(wide) == []


def test_without_scenes_it_finds_nothing(people):
    assert DrawnFaceDetector([]).detect(draw(*people[0], 64)) == []


def test_portrait_and_driving_crops_take_it_as_their_detector(detector, clip, people):
    portrait = crop_portrait(draw(*people[0], 128), detector, size=64)
    assert portrait.box == (0, 0, 128, 128)
    crops = crop_driving([draw(who, motion, 64) for who, motion in clip], detector)
    assert crops.lost_frames == []
    assert crops.landmarks.shape == (FRAMES, 5, 2)
