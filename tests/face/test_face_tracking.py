"""One person among several, from frame to frame; what stands in where the face is missed; and a steadier hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from diffusers_hunyuan_portrait.face import Face, FaceTracker, chooser_of_place
from diffusers_hunyuan_portrait.face.tracking import LONGEST_BRIDGE, Sighting, bridge, smooth, track

PICTURE = np.zeros((240, 320, 3), np.uint8)


class BySize:
    """A person who is known by the size of the face."""

    def __init__(self, picture, face):
        self.size = face.area

    def is_shown(self, picture, face):
        return face.area == self.size


def follow(frames: Sequence[list[Face]], tracker: FaceTracker | None = None) -> list[Sighting]:
    return list(track([(PICTURE, faces) for faces in frames], tracker or FaceTracker()))


def corners(sightings: Sequence[Sighting]) -> list[float | None]:
    """The left edge of the face followed in each frame."""
    return [None if one.face is None else float(one.face.box[0]) for one in sightings]


def test_the_largest_face_of_the_first_frame_goes_on_where_another_grows_larger(make_face):
    frames = [[make_face(200, size=30 + grown), make_face(40, size=40)] for grown in range(0, 30, 3)]
    assert corners(follow(frames)) == [40] * 10


def test_people_who_pass_each_other_are_kept_apart(make_face):
    """One goes up and to the right, the other down and to the left, in any order of the detector's."""
    rng = np.random.default_rng(3)
    frames, truth = [], []
    for step in range(30):
        faces = [make_face(20 + 8 * step, 90 - 2 * step), make_face(260 - 8 * step, 90 + 2 * step, size=38)]
        truth.append(float(faces[0].box[0]))
        frames.append([faces[index] for index in rng.permutation(2)])
    assert corners(follow(frames)) == truth


def test_a_hidden_person_is_not_taken_for_the_one_beside(make_face):
    beside = make_face(150, size=38)
    frames = [[make_face(40), beside], *[[beside]] * 20, [make_face(48), beside]]
    assert corners(follow(frames)) == [40, *[None] * 20, 48]


def test_a_lone_person_may_jump(make_face):
    assert corners(follow([[make_face(20)], [make_face(220, size=90)]])) == [20, 220]


def test_something_small_is_not_the_person_come_back(make_face):
    assert corners(follow([[make_face(20, size=60)], [make_face(220, size=15)]])) == [20, None]


def test_who_comes_back_elsewhere_must_be_known(make_face):
    frames = [[make_face(20)], [], [make_face(120, size=50)], [make_face(120, size=50), make_face(220)]]
    assert corners(follow(frames, FaceTracker(know=BySize))) == [20, None, None, 220]


def test_nobody_is_followed_before_the_chosen_one_comes(make_face):
    second = chooser_of_place("2")
    frames = [[], [make_face(40)], [make_face(40), make_face(150)], [make_face(44), make_face(154)]]
    assert corners(follow(frames, FaceTracker(second))) == [None, None, 150, 154]


OTHER_SCENE = np.full_like(PICTURE, 90)


def test_after_a_cut_places_tell_nothing(make_face):
    """Somebody else is where the person was, and the person has become small."""
    scenes = [(PICTURE, [make_face(40)]), (OTHER_SCENE, [make_face(42, size=20), make_face(200)])]
    found = list(track(scenes, FaceTracker()))
    assert corners(found) == [40, 200]
    assert [one.is_cut for one in found] == [False, True]


def test_after_a_cut_the_person_known_is_looked_for(make_face):
    person, other = make_face(40, size=30), make_face(200, size=50)
    scenes = [(PICTURE, [person]), (OTHER_SCENE, [other]), (OTHER_SCENE, [other, person]), (PICTURE, [other])]
    assert corners(list(track(scenes, FaceTracker(know=BySize)))) == [40, None, 40, None]


@pytest.mark.parametrize("missed", range(1, LONGEST_BRIDGE + 1))
def test_a_short_gap_is_bridged_evenly(make_face, missed):
    found = list(bridge(follow([[make_face(40)], *[[]] * missed, [make_face(40 + 6 * (missed + 1))]])))
    np.testing.assert_allclose(corners(found), 40 + 6 * np.arange(missed + 2))
    assert [one.bridged for one in found] == [False, *[True] * missed, False]
    for one, before in zip(found[1:], found, strict=False):
        np.testing.assert_allclose(one.face.landmarks - before.face.landmarks, [[6, 0]] * 5, atol=1e-9)


def test_a_long_gap_is_none_to_bridge(make_face):
    gap = [[]] * (LONGEST_BRIDGE + 1)
    found = list(bridge(follow([*gap, [make_face(40)], *gap, [make_face(50)], *gap[:2]])))
    expected = [None] * len(gap)
    assert corners(found) == [*expected, 40, *expected, 50, None, None]
    assert not any(one.bridged for one in found)


def test_no_bridge_goes_across_a_jump_or_a_cut(make_face):
    jump = list(bridge(follow([[make_face(20)], [], [make_face(220, size=90)]])))
    assert corners(jump) == [20, None, 220]
    scenes = [(PICTURE, [make_face(20)]), (PICTURE, []), (OTHER_SCENE, [make_face(22)])]
    assert corners(list(bridge(track(scenes, FaceTracker())))) == [20, None, 22]


def test_no_more_frames_wait_than_can_be_bridged(make_face):
    taken = []

    def sightings():
        for index in range(100):
            taken.append(index)
            yield Sighting(PICTURE, [], make_face() if index == 0 else None)

    bridged = bridge(sightings())
    for given, _ in enumerate(bridged):
        assert len(taken) - given <= LONGEST_BRIDGE + 1
    assert given == 99


def test_smoothing_steadies_and_does_not_lag(make_face):
    """A face that speeds up and shakes by a pixel: its way is kept, what shakes is nearly halved."""
    rng = np.random.default_rng(11)
    way = 20 + 0.03 * np.arange(80) ** 2
    shaken = way + rng.normal(0, 1, 80)
    found = list(smooth(follow([[make_face(x)] for x in shaken])))
    steady = np.array(corners(found))
    assert (steady - way).std() < 0.6 * (shaken - way).std()
    np.testing.assert_allclose(corners(smooth(follow([[make_face(x)] for x in way]))), way)


def test_smoothing_stays_within_a_run(make_face):
    """Frames before and after a gap or a cut tell each other nothing."""
    first, second = [[make_face(x)] for x in (20, 22, 21)], [[make_face(x)] for x in (90, 94)]
    gap = [[]] * (LONGEST_BRIDGE + 1)
    whole = corners(smooth(bridge(follow([*first, *gap, *second]))))
    alone = corners(smooth(follow(first))), corners(smooth(follow(second)))
    assert whole == [*alone[0], *[None] * len(gap), *alone[1]]
    scenes = [*((PICTURE, faces) for faces in first), *((OTHER_SCENE, faces) for faces in second)]
    assert corners(smooth(track(scenes, FaceTracker()))) == [*alone[0], *alone[1]]
