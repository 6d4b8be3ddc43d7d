"""The portrait crop beyond the golden cases: which face, the second search, and pictures that cannot be used."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import NoFaceError, UserError


@pytest.fixture
def picture() -> np.ndarray:
    return data.astronaut()


def test_the_largest_face_is_taken_not_the_surest(replay, make_face, picture):
    small, large = make_face(300, 300, 30), make_face(100, 100, 60)
    small = face.Face(small.box, small.landmarks, score=1.0)
    crops = face.crop_portrait(picture, replay([[small, large], [make_face()]]))
    assert crops.box == (40, 40, 220, 220)  # the box grown by its own 60 pixels on each side


def test_the_square_is_what_lies_in_the_box(replay, make_face, picture):
    crops = face.crop_portrait(picture, replay([[make_face(200, 200, 64)], [make_face()]]), size=192)
    assert crops.box == (136, 136, 328, 328)
    np.testing.assert_array_equal(crops.image, picture[136:328, 136:328])


def test_arcface_points_land_on_the_template(replay, make_face):
    """A picture that is black but for a white dot at each point comes out with its dots on the template."""
    template = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
    turned = (template - 56) @ [[0, 3], [-3, 0]] + 256  # a quarter turn, three times as large, elsewhere
    square = np.zeros((512, 512, 3), dtype=np.uint8)
    for x, y in turned.round().astype(int):
        square[y - 2 : y + 3, x - 2 : x + 3] = 255
    found = face.Face([128, 128, 384, 384], turned, 1.0)
    aligned = face.crop_portrait(square, replay([[found], [found]])).arcface_image
    assert aligned.shape == (112, 112, 3)
    for x, y in template.round().astype(int):
        assert aligned[y, x].min() > 0.9
    assert aligned.mean() < 0.01  # and nothing else is white


def test_a_face_lost_in_the_square_keeps_its_first_points(replay, make_face, picture):
    found = make_face(200, 200, 64)
    x1, y1, x2, _ = (136, 136, 328, 328)
    scale = 512 / (x2 - x1)
    moved = face.Face((found.box - [x1, y1, x1, y1]) * scale, (found.landmarks - [x1, y1]) * scale, 1.0)
    kept = face.crop_portrait(picture, replay([[found], []]))
    again = face.crop_portrait(picture, replay([[found], [moved]]))
    np.testing.assert_array_equal(kept.arcface_image, again.arcface_image)


def test_no_face_is_said_with_the_size(replay, picture):
    with pytest.raises(NoFaceError, match="512×512"):
        face.crop_portrait(picture, replay([[]]))


def test_a_face_outside_the_picture_is_no_face(replay, make_face, picture):
    with pytest.raises(NoFaceError, match="outside the 512×512 picture"):
        face.crop_portrait(picture, replay([[make_face(2000, 2000, 50)]]))


def test_points_that_coincide_cannot_be_aligned(replay, make_face, picture):
    found = face.Face(make_face().box, np.full((5, 2), 7.0), 1.0)
    with pytest.raises(NoFaceError, match="put all points"):
        face.crop_portrait(picture, replay([[make_face()], [found]]))


def test_a_pil_image_serves(replay, make_face, picture):
    crops = face.crop_portrait(Image.fromarray(picture), replay([[make_face()], [make_face()]]), dino_size=28)
    assert crops.dino_image.shape == (1, 3, 28, 28)


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (0, 64, 3), (3, 64, 64)])
def test_what_is_no_rgb_picture_is_refused_with_its_shape(replay, shape):
    with pytest.raises(UserError, match="has shape"):
        face.crop_portrait(np.zeros(shape, dtype=np.uint8), replay([]))


def test_floats_are_refused(replay):
    with pytest.raises(UserError, match="float64"):
        face.crop_portrait(np.zeros((64, 64, 3)), replay([]))


@pytest.mark.parametrize(
    ("box", "landmarks"),
    [([0, 0, 1], np.zeros((5, 2))), ([0, 0, 1, 1], np.zeros((68, 2))), ([0, 0, 1, np.nan], np.zeros((5, 2)))],
)
def test_a_face_of_other_shape_or_without_numbers_is_refused(box, landmarks):
    with pytest.raises(ValueError, match="A face's"):
        face.Face(box, landmarks, 1.0)
