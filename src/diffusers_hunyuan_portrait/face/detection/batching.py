"""Faces in a clip's frames, several frames at a time where a detector can."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from ...errors import UnreadableMediaError
from ..pixels import Picture
from .interface import Detector, Face, as_picture


def detect_each(frames: Iterable[Any], detector: Detector) -> Iterator[tuple[Picture, list[Face]]]:
    """Each frame as a picture, with the faces in it, in order.

    A detector with `batch_size` above 1 and a method `detect_batch(images) -> list[list[Face]]` is given that many
    frames of one size at a time; no more are kept.

    Args:
        frames: (H, W, 3) uint8 RGB arrays, or RGB PIL images.
        detector: finds the faces.

    Raises:
        UserError: where a frame is not an RGB picture.
        UnreadableMediaError: where a frame cannot be read, after all before it.
    """
    searcher: Any = detector
    size = getattr(detector, "batch_size", 1)
    pictures = map(as_picture, frames)
    for _, alike in itertools.groupby(pictures, key=lambda picture: picture.shape):
        for batch in _batches(alike, size):
            found = searcher.detect_batch(batch) if size > 1 else [detector.detect(batch[0])]
            yield from zip(batch, found, strict=True)


def _batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """`size` pictures at a time, and fewer at the end or before one that cannot be read."""
    batch: list[Picture] = []
    try:
        for picture in pictures:
            batch.append(picture)
            if len(batch) == size:
                yield batch
                batch = []
    except UnreadableMediaError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
