"""Skeletons with parts missing, as training shows them (paper, section 3.5)."""

import numpy as np
from numpy.typing import NDArray

from .keypoints import EDGES, EYES, FACE_PARTS, Keypoints, without


def drop_edges(
    keypoints: Keypoints, probability: float, rng: np.random.Generator
) -> tuple[Keypoints, NDArray[np.bool_]]:
    """The skeletons of a clip with edges left out by chance, the same in all frames.

    Each edge, and each part of the face, which is drawn as points alone, is left out with this probability; so is
    a point that had edges and has none left.

    Args:
        keypoints: (F, 134, 3).
        probability: 0 leaves everything as it is.
        rng: what is drawn by; as often whatever the skeletons show.

    Returns:
        The points, and which of `EDGES` stay, as `draw_skeletons` takes them.
    """
    kept = rng.random(len(EDGES)) >= probability
    lost_parts = [part for part in FACE_PARTS if rng.random() < probability]
    joined = {point for edge in np.flatnonzero(kept) for point in EDGES[edge]}
    bare = {point for edge in EDGES for point in edge} - joined
    return without(keypoints, (*sorted(bare), *(point for part in lost_parts for point in part))), kept


def drop_eyes(keypoints: Keypoints, probability: float, rng: np.random.Generator) -> Keypoints:
    """The skeletons (F, 134, 3), with this probability without the eyes, as another person's clip has them."""
    return without(keypoints, EYES) if rng.random() < probability else keypoints
