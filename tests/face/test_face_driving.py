"""Following the face through a clip: lost frames, streaming, and clips that cannot be used."""

import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import NoFaceError, UserError
from diffusers_hunyuan_portrait.face.driving import name_ranges
from diffusers_hunyuan_portrait.face.tracking import LONGEST_BRIDGE

GAP = [[]] * (LONGEST_BRIDGE + 1)  # frames without a face, one too many to be bridged


def frames(count: int) -> Iterator[np.ndarray]:
    """Frames of 120×160 pixels that can be told apart, of one scene."""
    scene = np.random.default_rng(99).integers(0, 224, (120, 160, 3), dtype=np.uint8)
    for index in range(count):
        yield scene + np.random.default_rng(index).integers(0, 32, scene.shape, dtype=np.uint8)


def test_a_lost_face_holds_its_last_crops_and_points(replay, make_face):
    answers = [[make_face(40)], [make_face(44)], *GAP, [make_face(50)]]
    followed = list(face.follow_driving(frames(len(answers)), replay(answers)))
    assert [frame.seen for frame in followed] == [True, True, *[False] * len(GAP), True]
    for lost in followed[2:-1]:
        np.testing.assert_array_equal(lost.face_crop, followed[1].face_crop)
        np.testing.assert_array_equal(lost.pose_crop, followed[1].pose_crop)
        np.testing.assert_array_equal(lost.landmarks, followed[1].landmarks)
    assert not np.array_equal(followed[-1].face_crop, followed[1].face_crop)


def test_a_face_that_is_missed_is_cut_out_between_its_neighbours(replay, make_face):
    found = [make_face(40), make_face(44), make_face(48)]
    missed = list(face.follow_driving(frames(3), replay([[found[0]], [], [found[2]]])))
    seen = list(face.follow_driving(frames(3), replay([[one] for one in found])))
    assert [frame.bridged for frame in missed] == [False, True, False]
    for one, other in zip(missed, seen, strict=True):
        assert one.seen
        np.testing.assert_allclose(one.landmarks, other.landmarks)
        np.testing.assert_array_equal(one.face_crop, other.face_crop)
        np.testing.assert_array_equal(one.pose_crop, other.pose_crop)


def test_the_pose_crop_follows_where_it_is_asked_to(replay, make_face):
    """A head that crosses the picture leaves the first frame's square, and stays in the following one."""
    bright = np.full((40, 40, 3), 255, np.uint8)

    def crossing() -> Iterator[np.ndarray]:
        for x in range(10, 410, 4):
            frame = np.zeros((120, 460, 3), np.uint8)
            frame[40:80, x : x + 40] = bright
            yield frame

    answers = [[make_face(x, 40, size=40)] for x in range(10, 410, 4)]
    first, follow = (
        list(face.follow_driving(crossing(), replay(answers), 64, crop=crop)) for crop in ("first", "follow")
    )
    np.testing.assert_array_equal(first[0].pose_crop, follow[0].pose_crop)
    assert first[-1].pose_crop.max() == 0
    # A ninth of the square is the face's, wherever it is in it.
    assert follow[-1].pose_crop.mean() / 255 == pytest.approx(1 / 9, abs=0.03)


def test_an_unknown_crop_is_refused(replay):
    with pytest.raises(UserError, match="choose one of first, follow, each"):
        list(face.follow_driving(frames(1), replay([[]]), crop="last"))


def test_smoothed_points_are_cut_out_where_they_are(replay, make_face):
    """With a face that moves evenly nothing changes; one that shakes is cut out at its steadier place."""
    even = [[make_face(40 + 2 * index)] for index in range(12)]
    for plain, steady in zip(
        face.follow_driving(frames(12), replay(even)),
        face.follow_driving(frames(12), replay(even), steady=True),
        strict=True,
    ):
        np.testing.assert_allclose(plain.landmarks, steady.landmarks)
    shaken = [[make_face(40 + 3 * (index % 2))] for index in range(12)]
    steady = list(face.follow_driving(frames(12), replay(shaken), steady=True))
    assert np.ptp([frame.landmarks[0, 0] for frame in steady[4:-4]]) < 1


def test_frames_before_the_first_face_take_its_crops(replay, make_face):
    answers = [[], [], [make_face(40)], [make_face(44)]]
    detector = replay(answers)
    followed = list(face.follow_driving(frames(4), detector))
    assert len(detector.asked) == 4
    assert [frame.seen for frame in followed] == [False, False, True, True]
    for lost in followed[:2]:
        np.testing.assert_array_equal(lost.face_crop, followed[2].face_crop)
        np.testing.assert_array_equal(lost.pose_crop, followed[2].pose_crop)


def test_the_first_face_seen_is_the_anchor(replay, make_face):
    """Its clip goes on as if it began there."""
    answers = [[make_face(40)], [make_face(44, size=30)]]
    whole = list(face.follow_driving(frames(4), replay([[], [], *answers])))[2:]
    clip = list(frames(4))[2:]
    for late, early in zip(whole, face.follow_driving(clip, replay(answers)), strict=True):
        np.testing.assert_array_equal(late.face_crop, early.face_crop)
        np.testing.assert_array_equal(late.pose_crop, early.pose_crop)


def test_lost_frames_are_counted_from_zero(replay, make_face):
    answers = [[], [make_face()], *GAP, [make_face()], [], [make_face()]]
    count = len(answers)
    crops = face.crop_driving(frames(count), replay(answers))
    assert crops.lost_frames == [0, *range(2, 2 + len(GAP))]  # the last one missed is bridged
    assert crops.face_crops.shape == crops.pose_crops.shape == (count, 3, 256, 256)
    assert crops.landmarks.shape == (count, 5, 2)
    assert 0 <= crops.face_crops.min() < crops.face_crops.max() <= 1


def test_a_face_crop_reaches_over_the_edge_into_black(replay, make_face):
    white = np.full((120, 160, 3), 255, dtype=np.uint8)
    crop = face.crop_driving([white], replay([[make_face(-20, 30, 40)]])).face_crops[0]
    assert crop[:, :, :100].max() == 0  # the crop's left part lies outside
    assert crop[:, :, 200:].min() == 1


def test_one_frame_is_asked_for_at_a_time(replay, make_face):
    taken = []
    source = (taken.append(index) or frame for index, frame in enumerate(frames(3)))
    followed = face.follow_driving(source, replay([[make_face()]] * 3))
    for count in range(1, 4):
        next(followed)
        assert len(taken) == count


def test_frames_are_let_go(replay, make_face):
    held = []

    def source() -> Iterator[np.ndarray]:
        for frame in frames(20):
            held.append(weakref.ref(frame))
            yield frame
            del frame

    answers = [[make_face()] if index in (8, 14) else [] for index in range(20)]
    most = 0
    for _ in face.follow_driving(source(), replay(answers)):
        most = max(most, sum(reference() is not None for reference in held))
    assert len(held) == 20
    assert most <= 2 + LONGEST_BRIDGE  # the frame at hand, the one being made, and those that a bridge may span


def test_crops_have_the_size_asked_for(replay, make_face):
    (followed,) = face.follow_driving(frames(1), replay([[make_face()]]), size=64)
    assert followed.face_crop.shape == followed.pose_crop.shape == (64, 64, 3)


def test_chunks_come_as_soon_as_they_are_full(replay, make_face):
    taken = []
    source = (taken.append(index) or frame for index, frame in enumerate(frames(5)))
    answers = [[make_face(40 + index)] for index in range(5)]
    answers[3] = answers[4] = []
    chunks = list(face.gather_chunks(face.follow_driving(frames(5), replay(answers)), 2))
    assert [len(chunk.landmarks) for chunk in chunks] == [2, 2, 1]
    assert [chunk.lost_frames for chunk in chunks] == [[], [1], [0]]
    np.testing.assert_allclose(chunks[2].landmarks[0], make_face(42).landmarks)
    next(face.gather_chunks(face.follow_driving(source, replay(answers)), 2))
    assert taken == [0, 1]


@pytest.mark.parametrize(
    ("numbers", "named"), [([], ""), ([7], "7"), ([0, 1], "0-1"), ([3, 4, 5, 9, 11, 12], "3-5, 9, 11-12")]
)
def test_frames_are_named_in_ranges(numbers, named):
    assert name_ranges(numbers) == named


def test_no_face_in_any_frame_is_said_with_their_number(replay):
    with pytest.raises(NoFaceError, match="any of the 3 driving frames"):
        list(face.follow_driving(frames(3), replay([[]] * 3)))


def test_no_frames_at_all_is_said(replay):
    with pytest.raises(UserError, match="no frames"):
        face.crop_driving([], replay([]))


class Together:
    """A detector of several frames at a time, which sees a face where a frame's first pixel is bright."""

    batch_size = 3

    def __init__(self):
        self.batches: list[list[int]] = []

    def detect_batch(self, images):
        self.batches.append([image[0, 0, 0] for image in images])
        assert len({image.shape for image in images}) == 1
        return [[face.Face([4, 4, 28, 28], FIVE_POINTS, 0.9)] if image[0, 0, 0] else [] for image in images]


FIVE_POINTS = [[10, 12], [22, 12], [16, 18], [11, 23], [21, 23]]


def test_frames_are_detected_together_in_order_and_by_size():
    detector = Together()
    frames = [np.full((32, 32 + 8 * (index >= 4), 3), index, np.uint8) for index in range(9)]
    followed = list(face.follow_driving(iter(frames), detector, 16))
    assert detector.batches == [[0, 1, 2], [3], [4, 5, 6], [7, 8]]
    assert [frame.seen for frame in followed] == [False] + [True] * 8


def test_no_more_frames_are_taken_than_are_detected_together():
    taken = []
    frames = (taken.append(index) or np.full((32, 32, 3), 1 + index, np.uint8) for index in range(30))
    next(face.follow_driving(frames, Together(), 16))
    assert len(taken) == 3
