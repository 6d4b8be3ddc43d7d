"""Paste-back over a clip: the linear mask as ever, and masks that go with a real face, really found."""

import cv2
import numpy as np
import pytest
from astronaut import portrait_picture
from safetensors.numpy import load_file
from synthetic import GOLDEN, uniform

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.blending import check_blend, paste_frames
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import Face, face_in_square, load_detector

BOX = (75, 0, 375, 300)  # of the astronaut's face, touching the picture's upper edge
FRAMES = 14


class NeverAsked:
    def detect(self, image):
        raise AssertionError("the linear mask needs no face")


@pytest.fixture(scope="module")
def detector():
    return load_detector("mtcnn")


@pytest.fixture(scope="module")
def hard():
    """The astronaut's head before hard stripes, (512, 512, 3)."""
    y, x = np.mgrid[:512, :512]
    stripes = np.where(((x + y) // 24 % 2)[..., None] > 0, [230, 60, 40], [30, 60, 200])
    return np.where(is_head(0)[..., None], portrait_picture(), stripes).astype(np.uint8)


def is_head(shift: float) -> np.ndarray:
    y, x = np.mgrid[:512, :512]
    return np.hypot((x - 225 - shift) / 70, (y - 105) / 95) < 1


def square(shift: float) -> np.ndarray:
    """The same head moved sideways by so many pixels before a plain wall, (300, 300, 3)."""
    moved = cv2.warpAffine(portrait_picture(), np.float32([[1, 0, shift], [0, 1, 0]]), (512, 512))
    whole = np.where(is_head(shift)[..., None], moved, np.uint8([120, 150, 110]))
    return whole[BOX[1] : BOX[3], BOX[0] : BOX[2]]


def in_box(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame[BOX[1] : BOX[3], BOX[0] : BOX[2]] for frame in frames]


def paste(squares, original, detector, **settings) -> list[np.ndarray]:
    return list(paste_frames(iter(squares), original, BOX, detector=detector, **settings))


def test_linear_is_the_contracts_to_the_bit_and_asks_for_no_face():
    golden = load_file(GOLDEN / "paste_back.safetensors")
    mosaic = (255 * uniform("paste/original", (34, 34, 3)).numpy()).astype(np.uint8)
    original = np.kron(mosaic, np.ones((16, 16, 1), np.uint8))
    picture = (uniform("paste/public", (512, 512, 3)).numpy() * 255).astype(np.uint8)
    (pasted,) = paste_frames([picture], original, golden["bbox"], detector=NeverAsked())
    assert (pasted == media.paste_back(original, picture, golden["bbox"])).all()
    x1, y1, x2, y2 = golden["bbox"]
    # As in the test of paste_back: OpenCV's resize rounds a few pixels in a million differently.
    assert np.mean(pasted[y1:y2, x1:x2] != golden["region"]) < 1e-4


@pytest.mark.parametrize("blend", ["ellipse", "poisson"])
def test_the_mask_goes_with_the_face_and_no_old_face_shows(blend, hard, detector):
    """Moved by up to 24 pixels, a seventh of the mask; beside it is the new wall, not the old cheek."""
    shifts = np.linspace(-24, 24, FRAMES)
    squares = [square(shift) for shift in shifts]
    pasted = paste(squares, hard, detector, blend=blend)
    assert len(pasted) == FRAMES
    own_x = face_in_square(hard, BOX, detector)[[0, 2]].mean() * 300
    rows, columns = slice(90, 150), np.arange(300)
    for shift, new, result in zip(shifts, squares, in_box(pasted), strict=True):
        off = np.abs(result.astype(int) - new)[rows].max(axis=(0, 2))  # of each column
        near_new, near_old = (np.abs(columns - place) < 40 for place in (own_x + shift, own_x))
        # What was generated stands where the face is and was, to the bit, or for Poisson but for the tint.
        assert off[near_new | near_old].max() <= (0 if blend == "ellipse" else 40)
        assert (result[rows, :30] == in_box([hard])[0][rows, :30]).all()
        assert (result[rows, -30:] == in_box([hard])[0][rows, -30:]).all()


def test_outside_of_the_mask_the_portrait_stays_to_the_bit(hard, detector):
    (pasted,) = paste([square(10)], hard, detector, blend="ellipse")
    outside = np.ones((512, 512), bool)
    outside[BOX[1] : BOX[3], BOX[0] : BOX[2]] = False
    assert (pasted[outside] == hard[outside]).all()
    # Of the square itself more than a third is beyond the mask; the linear one changes nearly all of it.
    (linear,) = paste([square(10)], hard, detector)
    kept_by_ellipse, kept_by_linear = (
        np.mean((in_box([result])[0] == in_box([hard])[0]).all(axis=2)) for result in (pasted, linear)
    )
    assert kept_by_ellipse > 1 / 3
    assert kept_by_linear < 0.1


@pytest.mark.parametrize("blend", ["linear", "ellipse", "poisson"])
def test_a_still_face_does_not_flicker(blend, hard, detector):
    """Of noise as decoders make it no more than the noise is seen, whatever mask and tint do."""
    noise = np.random.default_rng(0)
    still = square(8).astype(float)
    squares = [np.clip(still + 2 * noise.standard_normal(still.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    pasted = np.stack(in_box(paste(squares, hard, detector, blend=blend, match_colour=True))).astype(float)
    given, seen = np.diff(np.stack(squares).astype(float), axis=0), np.diff(pasted, axis=0)
    assert seen.std() < given.std()
    # The light of whole parts of the picture, 20 pixels square, hardly changes: half a level from frame to frame.
    parts = seen.reshape(9, 15, 20, 15, 20, 3).mean(axis=(2, 4))
    assert np.abs(parts).max() < 1


def test_a_tint_comes_and_goes_slowly(hard, detector):
    """A flash of light for one frame moves the next ones' colours by a quarter of it at most."""
    still = square(0)
    squares = [still] * 6 + [(still.astype(int) + 20).clip(0, 255).astype(np.uint8)] + [still] * 5
    pasted = np.stack(in_box(paste(squares, hard, detector, blend="poisson"))).astype(float)
    middle = pasted[:, 100:150, 130:170].mean(axis=(1, 2, 3))
    before, after = middle[5], middle[7:]
    assert np.abs(after - before).max() < 0.25 * 20 + 1
    assert np.abs(after[-1] - before) < 2


def test_matched_colours_are_the_portraits(detector):
    portrait = (60 + 0.5 * portrait_picture()).astype(np.uint8)
    cut = portrait[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    tinted = np.rint(cut * 0.9 + np.array([14, 2, -6])).astype(np.uint8)
    for blend in ("linear", "ellipse", "poisson"):
        (plain,), (matched,) = (
            paste([tinted], portrait, detector, blend=blend, match_colour=match) for match in (False, True)
        )
        # Rounded twice, with a gain of 1.1 between; the linear mask cuts off another level.
        assert np.abs(matched.astype(int) - portrait).max() <= 3
        if blend != "poisson":  # which does much the same
            assert np.abs(plain.astype(int) - portrait)[60:200, 180:260].mean() > 5


def test_where_there_is_nothing_to_match_nothing_changes(detector):
    portrait = portrait_picture()
    cut = portrait[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    for blend in ("ellipse", "poisson"):
        (pasted,) = paste([cut], portrait, detector, blend=blend, match_colour=True)
        assert (pasted == portrait).all()
    (pasted,) = paste([cut], portrait, detector, match_colour=True)
    assert (pasted == media.paste_back(portrait, cut, BOX)).all()


def test_faces_are_looked_for_as_often_as_the_run_does(hard):
    class Counting:
        asked = 0

        def detect(self, image):
            self.asked += 1
            height, width = image.shape[:2]
            return [Face([0.4 * width, 0.3 * height, 0.6 * width, 0.6 * height], np.ones((5, 2)), 0.9)]

        def follow(self, image, faces):
            return faces

    finder = Counting()
    paste([square(0)] * 12, hard, finder, blend="ellipse", detect_every=4)
    assert finder.asked == 1 + 3


@pytest.mark.parametrize("settings", [{"blend": "ellipse"}, {"blend": "linear", "match_colour": True}])
def test_the_square_alone_is_not_blended(settings):
    with pytest.raises(UserError, match="leave out either --crop-only"):
        check_blend(**{"match_colour": False} | settings, crop_only=True)


def test_an_unknown_blend_is_named():
    with pytest.raises(UserError, match=r"no blend 'soft'.*linear, ellipse, poisson"):
        check_blend("soft", False, crop_only=False)
    check_blend("linear", False, crop_only=True)
