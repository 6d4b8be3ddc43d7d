"""Skeletons as pictures: controlnet_aux's DWPose draws them so, to the pixel."""

import importlib.util
from types import ModuleType

import numpy as np
import pytest
from dwpose_files import BODY, FACE
from real_parts import part

from diffusers_hunyuan_portrait.face.skeletons import draw_skeletons, drop_edges
from diffusers_hunyuan_portrait.face.skeletons.keypoints import BODY_EDGES, EDGES
from diffusers_hunyuan_portrait.poses import NUM_KEYPOINTS


@pytest.fixture(scope="module")
def published() -> ModuleType:
    """The one file of controlnet_aux that draws; the package itself needs torchvision."""
    spec = importlib.util.spec_from_file_location("dwpose_util", part("controlnet_aux", "util.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_by(published: ModuleType, keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """What controlnet_aux makes of one person's points: places as parts of the picture, -1 for what is missing."""
    places = keypoints[:, :2].astype(np.float64) / [width, height]
    missing = keypoints[:, 2] < 0.3
    shown = np.where(missing[:, None], -1, places)
    subset = np.where(missing[:18], -1, np.arange(18))[None]
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas = published.draw_bodypose(canvas, places[:18], subset)
    canvas = published.draw_handpose(canvas, [shown[92:113], shown[113:]])
    return published.draw_facepose(canvas, [shown[24:92]])


def upper_body() -> np.ndarray:
    """A person in the middle of 512×512, (134, 3)."""
    body = np.array(BODY) * 1.3 + [256.3, 140.7]
    neck = (body[5] + body[6]) / 2
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]  # OpenPose's of COCO's
    places = [neck if number is None else body[number] for number in order]
    fingers = [(22.3 * (finger - 2), 30 + 21.7 * joint) for finger in range(5) for joint in range(4)]
    hands = [np.array([(0, 0), *fingers]) + middle for middle in ((390, 320), (120, 320))]
    keypoints = np.concatenate([places, np.zeros((6, 2)), np.array(FACE) * 2.5 + body[0], *hands])
    return np.concatenate([keypoints, np.full((NUM_KEYPOINTS, 1), 0.9)], axis=1).astype(np.float32)


def scattered(seed: int, height: int, width: int) -> np.ndarray:
    """Points anywhere in the picture and around it, some of them missing."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-0.2, 1.2, (NUM_KEYPOINTS, 2)) * [width, height]
    scores = rng.uniform(0.3, 1, (NUM_KEYPOINTS, 1))
    keypoints = np.concatenate([places, scores], axis=1).astype(np.float32)
    keypoints[rng.random(NUM_KEYPOINTS) < rng.uniform(0, 0.6)] = 0
    return keypoints


def test_a_person_is_drawn_alike(published):
    person = upper_body()
    (picture,) = draw_skeletons(person[None], 512, 512)
    expected = drawn_by(published, person, 512, 512)
    np.testing.assert_array_equal(picture, expected)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 40  # colours: it is all there
    person[list(range(2, 9))] = 0
    person[40:100] = 0
    (picture,) = draw_skeletons(person[None], 512, 512)
    np.testing.assert_array_equal(picture, drawn_by(published, person, 512, 512))


@pytest.mark.parametrize(("height", "width"), [(512, 512), (64, 64), (360, 640), (121, 77)])
def test_points_anywhere_are_drawn_alike(published, height, width):
    skeletons = [scattered(seed, height, width) for seed in range(40)]
    for skeleton, picture in zip(skeletons, draw_skeletons(np.stack(skeletons), height, width), strict=True):
        np.testing.assert_array_equal(picture, drawn_by(published, skeleton, height, width))


def test_whole_pixels_are_drawn_alike(published):
    """Where the picture's sides are powers of two, so that parts of it are exact."""
    for seed in range(20):
        skeleton = scattered(seed, 512, 256).round()
        skeleton[:, 2] = skeleton[:, 2] > 0
        (picture,) = draw_skeletons(skeleton[None], 512, 256)
        np.testing.assert_array_equal(picture, drawn_by(published, skeleton, 512, 256))


def test_edges_are_left_out_one_by_one(published):
    person = upper_body()
    (whole,) = draw_skeletons(person[None], 512, 512)
    for number in (0, 12, len(BODY_EDGES), len(EDGES) - 1):
        kept = np.arange(len(EDGES)) != number
        (picture,) = draw_skeletons(person[None], 512, 512, kept)
        changed = (picture != whole).any(axis=2)
        assert changed.any()
        a, b = (person[point, :2] for point in EDGES[number])
        y, x = np.nonzero(changed)
        margin = 6  # pixels: half an edge's width
        assert x.min() >= min(a[0], b[0]) - margin
        assert x.max() <= max(a[0], b[0]) + margin
        assert y.min() >= min(a[1], b[1]) - margin
        assert y.max() <= max(a[1], b[1]) + margin


def test_nobody_is_black():
    assert not draw_skeletons(np.zeros((2, NUM_KEYPOINTS, 3), np.float32), 32, 48).any()
    assert draw_skeletons(np.zeros((0, NUM_KEYPOINTS, 3), np.float32), 32, 48).shape == (0, 32, 48, 3)


def test_points_out_of_all_bounds_are_left_out():
    person = np.stack([upper_body(), upper_body()])
    person[0, [3, 4, 40, 100]] = 0
    person[1, 3, 0], person[1, 4, 1], person[1, 40, 0], person[1, 100, 1] = 1e30, -1e9, np.nan, np.inf
    without, with_far = draw_skeletons(person, 512, 512)
    np.testing.assert_array_equal(with_far, without)


def test_edges_are_dropped_by_the_seed_in_all_frames_alike():
    person = np.stack([upper_body(), upper_body() + np.array([3, 2, 0])]).astype(np.float32)
    seen = []
    for seed in (1, 1, 2):
        keypoints, kept = drop_edges(person, 0.3, np.random.default_rng(seed))
        assert ((keypoints[0, :, 2] > 0) == (keypoints[1, :, 2] > 0)).all()
        assert 0.5 < kept.mean() < 0.9  # 57 edges at 0.7
        joined = {point for number in np.flatnonzero(kept) for point in EDGES[number]}
        for point in {point for edge in EDGES for point in edge}:
            assert (keypoints[0, point, 2] > 0) == (point in joined)
        seen.append((keypoints, kept))
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert (seen[0][1] != seen[2][1]).any()


def test_nothing_is_dropped_at_0_and_everything_at_1():
    person = upper_body()[None]
    keypoints, kept = drop_edges(person, 0, np.random.default_rng(0))
    assert kept.all()
    np.testing.assert_array_equal(keypoints, person)
    keypoints, kept = drop_edges(person, 1, np.random.default_rng(0))
    assert not draw_skeletons(keypoints, 512, 512, kept).any()
