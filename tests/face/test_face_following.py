"""Faces followed between full searches are where a search of every frame would find them."""

import numpy as np
import pytest

from diffusers_hunyuan_portrait.drawn_faces import Identity, draw, random_motion
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import Face, FollowingDetector, intensity_levels, load_detector

NUM_FRAMES, SIZE, EVERY = 30, 256, 5


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(19)
    identity = Identity.random(rng)
    return [draw(identity, motion, SIZE) for motion in random_motion(rng, NUM_FRAMES)]


class Counting:
    """A detector that counts what it is asked, with or without `follow`."""

    def __init__(self, detector, can_follow: bool):
        self.detector, self.searched, self.followed = detector, [], 0
        if can_follow:
            self.follow = self._follow

    def detect(self, image):
        self.searched.append(image.shape[:2])
        return self.detector.detect(image)

    def _follow(self, image, faces):
        self.followed += 1
        return self.detector.follow(image, faces)


class Scripted:
    """Finds what it was told to, frame by frame."""

    def __init__(self, *found):
        self.found = list(found)

    def detect(self, image):
        return self.found.pop(0)


def face(x: float = 50.0) -> Face:
    return Face([x, 40, x + 40, 90], [[x + 10, 55], [x + 30, 55], [x + 20, 65], [x + 12, 78], [x + 28, 78]], 0.9)


@pytest.mark.parametrize("can_follow", [True, False])
def test_followed_points_are_those_of_a_search(frames, can_follow):
    mtcnn = load_detector("mtcnn")
    counting = Counting(mtcnn, can_follow)
    following = FollowingDetector(counting, EVERY)
    searched = np.stack([max(mtcnn.detect(frame), key=lambda face: face.area).landmarks for frame in frames])
    followed = np.stack([max(following.detect(frame), key=lambda face: face.area).landmarks for frame in frames])
    eyes = np.linalg.norm(searched[:, 1] - searched[:, 0], axis=1)
    errors = np.linalg.norm(followed - searched, axis=2) / eyes[:, None]
    assert np.percentile(errors, 95) < 0.03
    levels = [np.array(intensity_levels(points[:25])) for points in (searched, followed)]
    assert np.abs(levels[0] - levels[1]).max() <= 2
    full_searches = counting.searched.count((SIZE, SIZE))
    assert full_searches == NUM_FRAMES // EVERY
    assert counting.followed == (NUM_FRAMES - full_searches if can_follow else 0)


def test_a_lost_face_is_searched_for_at_once():
    picture = np.zeros((200, 200, 3), np.uint8)
    counting = Counting(Scripted([face()], [], [face(90)], [], []), can_follow=False)
    following = FollowingDetector(counting, every=100)
    assert len(following.detect(picture)) == 1
    # Near its last place there is none, so the whole picture is searched, and there it is.
    assert following.detect(picture)[0].box[0] == 90
    assert counting.searched == [(200, 200), (100, 100), (200, 200)]
    assert following.detect(picture) == []


def test_a_search_of_every_frame_asks_nothing_else(frames):
    counting = Counting(load_detector("mtcnn"), can_follow=True)
    following = FollowingDetector(counting, every=1)
    for frame in frames[:3]:
        following.detect(frame)
    assert counting.followed == 0
    assert len(counting.searched) == 3


def test_it_cannot_be_asked_less_than_never():
    with pytest.raises(UserError, match="every 0 frames"):
        FollowingDetector(Scripted(), 0)
