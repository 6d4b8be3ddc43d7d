"""Skeletons as pictures, in OpenPose's colours: what controlnet_aux's DWPose draws of one person, to the pixel."""

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels import Picture
from .keypoints import BODY, BODY_EDGES, FACE, HAND_EDGES, HANDS, Keypoints, found

# RGB, of the body's edges and points by their numbers.
BODY_COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0)),
    *((0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255)),
    *((170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
HAND_POINT, FACE_POINT = (0, 0, 255), (255, 255, 255)
HAND_COLOURS = tuple(
    tuple(255 * part for part in colorsys.hsv_to_rgb(number / len(HAND_EDGES), 1, 1))
    for number in range(len(HAND_EDGES))
)
EDGE_SHADE = 0.6  # what the body's edges are darkened by, so that its points stand out
# Pixels, whatever the picture's size.
BODY_EDGE, HAND_EDGE, BODY_POINT_RADIUS, FACE_POINT_RADIUS = 4, 2, 4, 3
FARTHEST = 2**15  # pixels from the corner; a point beyond counts as not found, as OpenCV cannot count so far


def draw_skeletons(
    keypoints: Keypoints, height: int, width: int, kept_edges: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """A picture of each skeleton, on black: (F, height, width, 3) uint8 RGB.

    Args:
        keypoints: (F, 134, 3) in the pictures' pixels; points not found, and those of the feet, are left out.
        height, width: of the pictures.
        kept_edges: (57,), which of `EDGES` are drawn; all by default.
    """
    pictures = np.zeros((len(keypoints), height, width, 3), dtype=np.uint8)
    kept = np.ones(len(BODY_EDGES) + 2 * len(HAND_EDGES), dtype=bool) if kept_edges is None else kept_edges
    of_body, *of_hands = np.split(kept, [len(BODY_EDGES), len(BODY_EDGES) + len(HAND_EDGES)])
    is_near = (np.abs(keypoints[..., :2]) < FARTHEST).all(axis=2, keepdims=True)
    for picture, skeleton in zip(pictures, np.where(is_near, keypoints, np.float32(0)), strict=True):
        _draw_body(picture, skeleton[BODY], of_body)
        for hand, of_hand in zip(HANDS, of_hands, strict=True):
            _draw_hand(picture, skeleton[hand], of_hand)
        for x, y in _whole_places(skeleton[FACE]).values():
            cv2.circle(picture, (x, y), FACE_POINT_RADIUS, FACE_POINT, thickness=-1)
    return pictures


def _draw_body(picture: Picture, points: Keypoints, kept: NDArray[np.bool_]) -> None:
    places, there = points[:, :2].astype(np.float64), found(points)
    for number in np.flatnonzero(kept):
        a, b = BODY_EDGES[number]
        if not (there[a] and there[b]):
            continue
        (x, y), (right, down) = (places[a] + places[b]) / 2, places[a] - places[b]
        length = (down**2 + right**2) ** 0.5
        angle = math.degrees(math.atan2(down, right))
        # int() cuts towards zero, here and below; rounding would be the expected thing.
        axes = int(length / 2), BODY_EDGE
        polygon = np.array(cv2.ellipse2Poly((int(x), int(y)), axes, int(angle), 0, 360, 1))
        cv2.fillConvexPoly(picture, polygon, BODY_COLOURS[number])
    picture[:] = (picture * EDGE_SHADE).astype(np.uint8)
    for number in np.flatnonzero(there):
        x, y = (int(place) for place in places[number])
        cv2.circle(picture, (x, y), BODY_POINT_RADIUS, BODY_COLOURS[number], thickness=-1)


def _draw_hand(picture: Picture, points: Keypoints, kept: NDArray[np.bool_]) -> None:
    places = _whole_places(points)
    for number in np.flatnonzero(kept):
        a, b = HAND_EDGES[number]
        if a in places and b in places:
            cv2.line(picture, places[a], places[b], HAND_COLOURS[number], thickness=HAND_EDGE)
    for place in places.values():
        cv2.circle(picture, place, BODY_POINT_RADIUS, HAND_POINT, thickness=-1)


def _whole_places(points: Keypoints) -> dict[int, tuple[int, int]]:
    """Whole pixels of the points found, by their numbers, but for those left of or above the picture, or in its
    first column or row, which are not drawn."""
    whole = points[:, :2].astype(np.float64).astype(int)
    shown = found(points) & (whole > 0).all(axis=1)
    return {int(number): (int(whole[number, 0]), int(whole[number, 1])) for number in np.flatnonzero(shown)}
