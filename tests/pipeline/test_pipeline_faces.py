"""Whose faces a run is made of, and what becomes of frames in which the face is not found."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_hunyuan_portrait.conditions import EASING, ease_back
from diffusers_hunyuan_portrait.errors import NoFaceError, UserError
from diffusers_hunyuan_portrait.face import Face
from diffusers_hunyuan_portrait.face.tracking import LONGEST_BRIDGE
from diffusers_hunyuan_portrait.tiny import make_tiny

NUM_FRAMES = 30
SIZE = 128
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
RED, BLUE = [200, 0, 0], [0, 0, 200]


def some_face(x: float, y: float = 50, size: float = 30) -> Face:
    return Face([x, y, x + size, y + size], POINTS * size + [x, y], 0.9)


class Scripted:
    """Finds what it is told to: in the portrait, in its square, and in each frame."""

    name = "scripted"

    def __init__(self, portrait: list[Face], frames: list[list[Face]]) -> None:
        self.answers = iter([portrait, [], *frames])

    def detect(self, image: np.ndarray) -> list[Face]:
        return next(self.answers)


@pytest.fixture(scope="module")
def pipe():
    """Small throughout, so that faces cost less than frames."""
    return make_tiny(torch.float32)


@pytest.fixture
def clip() -> np.ndarray:
    """Frames that can be told apart, of one scene."""
    rng = np.random.default_rng(7)
    scene = rng.integers(0, 224, (SIZE, SIZE, 3), np.uint8)
    return scene + rng.integers(0, 32, (NUM_FRAMES, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def prepare(pipe, clip):
    """Conditions of the clip with faces that are told, in the portrait and in each frame."""

    def call(frames, portrait=None, image=None, **settings):
        detector = Scripted(portrait or [some_face(40)], frames)
        image = clip[0] if image is None else image
        return pipe.prepare_conditions(image, clip, detector=detector, height=64, width=64, **settings)

    return call


left = [some_face(10 + index / 4) for index in range(NUM_FRAMES)]
right = [some_face(80 - index / 4, size=26) for index in range(NUM_FRAMES)]


def test_the_person_chosen_drives_as_if_alone(prepare):
    both = list(zip(left, right, strict=True))
    alone = {"left": prepare([[one] for one in left]), "right": prepare([[one] for one in right])}
    for which, conditions in alone.items():
        chosen = prepare(both, driving_face=which).motion_tokens
        assert torch.equal(chosen, conditions.motion_tokens)
    assert torch.equal(prepare(both).motion_tokens, alone["left"].motion_tokens)  # the larger one
    assert not torch.equal(alone["left"].motion_tokens, alone["right"].motion_tokens)


def test_the_person_chosen_is_animated(prepare):
    people = [some_face(90, size=30), some_face(10)]
    frames = [[one] for one in left]
    boxes = {which: prepare(frames, people, portrait_face=which).portrait_box for which in ("left", "right", 2)}
    assert boxes["left"][0] < boxes["right"][0]
    assert boxes["right"] == boxes[2]


def test_a_person_is_chosen_by_a_picture(prepare, pipe, monkeypatch, tmp_path):
    def by_colour(aligned):
        return torch.nn.functional.normalize(torch.from_numpy(aligned.mean(axis=(0, 1)))[None], dim=1)

    monkeypatch.setattr(pipe, "_id_network", lambda: by_colour)
    monkeypatch.setattr(pipe, "_encode_identity", lambda *_: torch.zeros(1, 512))
    people = [some_face(10), some_face(90)]
    group = np.zeros((SIZE, SIZE, 3), np.uint8)
    for one, colour in zip(people, (RED, BLUE), strict=True):
        x1, y1, x2, y2 = one.box.astype(int)
        group[y1:y2, x1:x2] = colour
    picture = tmp_path / "blue.png"
    Image.fromarray(np.full((SIZE, SIZE, 3), BLUE, np.uint8)).save(picture)

    class WithPerson(Scripted):
        """Asked for the person first."""

        def __init__(self):
            super().__init__(people, [[one] for one in left])
            self.answers = iter([[some_face(40)], *self.answers])

    for which in (str(picture), picture, Image.open(picture), np.full((SIZE, SIZE, 3), BLUE, np.uint8)):
        conditions = pipe.prepare_conditions(
            group, [group] * NUM_FRAMES, detector=WithPerson(), portrait_face=which, height=64, width=64
        )
        assert conditions.portrait_box[0] > 40


def test_without_an_id_encoder_nobody_is_known_by_a_picture(prepare):
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(UserError, match=r"known by the model\'s ID encoder\. This model has no ID encoder"):
        prepare([[one] for one in left], driving_face=picture)


def test_a_person_who_never_comes_is_told(prepare):
    with pytest.raises(NoFaceError, match="None of the 30 driving frames shows the face that was chosen, of at m"):
        prepare([[one] for one in left], driving_face=2)


@pytest.mark.parametrize("name", ["portrait_face", "driving_face"])
def test_a_face_that_nothing_names_is_refused(prepare, name):
    with pytest.raises(UserError, match="There is no face 'tallest'"):
        prepare([[one] for one in left], **{name: "tallest"})


def test_smoothing_and_following_change_what_is_seen(prepare):
    shaken = [[some_face(20 + 2 * (index % 2))] for index in range(NUM_FRAMES)]
    raw = prepare(shaken).motion_tokens
    assert torch.equal(prepare(shaken, smooth=False, crop="first").motion_tokens, raw)
    for setting in ({"smooth": True}, {"crop": "follow"}):
        assert not torch.equal(prepare(shaken, **setting).motion_tokens, raw)


def test_a_missed_face_is_bridged_and_told(prepare, caplog):
    """As the faces move evenly, nothing is lost by it but the picture's chance to say otherwise."""
    frames = [[] if index in (4, 5, 9) else [one] for index, one in enumerate(left)]
    whole = prepare([[one] for one in left]).motion_tokens
    assert "missed" not in caplog.text
    torch.testing.assert_close(prepare(frames).motion_tokens, whole)
    assert "The face was missed in 3 of 30 driving frames: 4-5, 9 (counted from 0)." in caplog.text


def test_a_motion_that_was_held_comes_back_smoothly(prepare, caplog):
    gap = range(6, 6 + LONGEST_BRIDGE + EASING)
    frames = [[] if index in gap else [one] for index, one in enumerate(left)]
    tokens = prepare(frames, pad_frames=0).motion_tokens[0]
    start = gap.stop - EASING
    for index in range(gap.start, start):
        assert torch.equal(tokens[index], tokens[gap.start - 1])
    steps = tokens[start : gap.stop + 1] - tokens[start - 1 : gap.stop]
    torch.testing.assert_close(steps, (tokens[gap.stop] - tokens[start - 1]).expand_as(steps) / (EASING + 1))
    assert f"out of view in {len(gap)} of 30 driving frames: 6-{gap.stop - 1} (counted from 0)." in caplog.text


def test_held_motion_is_eased_only_where_it_comes_back():
    tokens = torch.arange(8.0).view(8, 1, 1).repeat(1, 2, 3)
    eased = tokens.clone()
    ease_back(eased, [0, 1, 7])
    assert torch.equal(eased, tokens)  # at the ends there is nothing to go over from, or to
    ease_back(eased, [2, 3, 4], frames=2)
    assert torch.equal(eased[:3], tokens[:3])  # the first of the three is held as it is
    torch.testing.assert_close(eased[3:5, 0, 0], torch.tensor([2 + 1.0, 2 + 2.0]))
    assert torch.equal(eased[5:], tokens[5:])
