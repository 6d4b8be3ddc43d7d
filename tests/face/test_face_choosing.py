"""Which of several faces is taken: by place, by number, by a point, and by a picture of the person."""

import numpy as np
import pytest
import torch

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import NoFaceError, UserError
from diffusers_hunyuan_portrait.face import Person, chooser_of_person, chooser_of_place, is_place

PICTURE = np.zeros((200, 400, 3), np.uint8)
LEFTS = (300, 20, 170)  # as a detector may give them


@pytest.fixture
def faces(make_face):
    return [make_face(x, size=size) for x, size in zip(LEFTS, (50, 40, 45), strict=True)]


@pytest.mark.parametrize(
    ("which", "left"),
    [
        *(("largest", 300), ("left", 20), ("right", 300), ("centre", 170)),
        *(("1", 20), ("2", 170), ("3", 300)),
        *(("30,100", 20), ("210.5, 60", 170)),
    ],
)
def test_a_place_names_a_face(faces, which, left):
    assert is_place(which)
    assert chooser_of_place(which)(faces, PICTURE).box[0] == left


def test_what_is_hardly_a_face_is_not_counted(faces):
    doubtful = face.Face(faces[1].box - [15, 0, 15, 0], faces[1].landmarks - [15, 0], 0.7)
    assert chooser_of_place("1")([doubtful, *faces], PICTURE) is faces[1]
    assert chooser_of_place("left")([doubtful], PICTURE) is doubtful


def test_a_number_that_is_not_there_is_nobody(faces):
    assert chooser_of_place("4")(faces, PICTURE) is None


@pytest.mark.parametrize("which", ["largest", "left", "right", "centre", "1", "30,100"])
def test_where_there_is_no_face_none_is_taken(which):
    assert chooser_of_place(which)([], PICTURE) is None


def test_a_file_is_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("me.png", "2", "left"):
        (tmp_path / name).touch()
        face.check_choice(name)
    assert [is_place(name) for name in ("me.png", "2", "left")] == [False, False, True]
    with pytest.raises(UserError, match=r"'you.png'"):
        face.check_choice("you.png")


@pytest.mark.parametrize("which", ["tallest", "0", "-1", "3,", "a.png", ""])
def test_what_names_no_face_is_answered_with_what_does(which):
    with pytest.raises(UserError, match="largest, left, right, centre"):
        chooser_of_place(which)


def test_the_portrait_of_the_person_chosen_is_aligned_by_that_person(replay, make_face):
    """Somebody larger stands beside, and is in the square too."""
    picture = np.random.default_rng(0).integers(0, 256, (200, 400, 3), np.uint8)
    chosen, other = make_face(40, 80, size=40), make_face(100, 60, size=60)
    box = face.crop_portrait(picture, replay([[chosen], []])).box
    scale = 512 / (box[2] - box[0])
    in_square = make_face((40 - box[0]) * scale + 3, (80 - box[1]) * scale, size=40 * scale)
    beside = make_face((100 - box[0]) * scale, (60 - box[1]) * scale, size=60 * scale)
    left = chooser_of_place("left")
    found = face.crop_portrait(picture, replay([[other, chosen], [beside, in_square]]), choose=left)
    alone = face.crop_portrait(picture, replay([[chosen], [in_square]]))
    assert found.box == alone.box
    np.testing.assert_array_equal(found.arcface_image, alone.arcface_image)


def test_a_portrait_without_the_face_chosen_is_refused(replay, make_face):
    with pytest.raises(NoFaceError, match="does not show the face"):
        face.crop_portrait(PICTURE, replay([[make_face()]]), choose=chooser_of_place("2"))


def by_colour(aligned: np.ndarray) -> torch.Tensor:
    """A network that knows people by the colour of their faces."""
    vector = torch.from_numpy(aligned.mean(axis=(0, 1)))[None]
    return torch.nn.functional.normalize(vector, dim=1)


def paint(faces, colours) -> np.ndarray:
    picture = np.zeros((200, 400, 3), np.uint8)
    for one, colour in zip(faces, colours, strict=True):
        x1, y1, x2, y2 = one.box.astype(int)
        picture[y1:y2, x1:x2] = colour
    return picture


def test_a_person_is_chosen_by_a_picture(faces, replay, make_face):
    red, green, blue = np.diag([200, 200, 200])
    group = paint(faces, [red, green, blue])
    for colour, expected in zip((red, green, blue), faces, strict=True):
        alone = make_face(100, 50, size=80)
        person = Person.in_picture(paint([alone], [colour]), replay([[alone]]), by_colour)
        assert chooser_of_person(person)(faces, group) is expected
        assert person.is_shown(group, expected)
        assert sum(person.is_shown(group, one) for one in faces) == 1


def test_a_person_who_is_not_there_is_not_chosen(faces, replay, make_face):
    alone = make_face(100, 50, size=80)
    person = Person.in_picture(paint([alone], [[0, 0, 200]]), replay([[alone]]), by_colour)
    assert chooser_of_person(person)(faces[:2], paint(faces, [[200, 0, 0], [0, 200, 0], [0, 0, 200]])) is None


def test_the_picture_of_a_person_must_show_one(replay):
    with pytest.raises(NoFaceError, match="the person to choose"):
        Person.in_picture(PICTURE, replay([[]]), by_colour)
