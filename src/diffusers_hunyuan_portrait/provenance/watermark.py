"""A mark in a picture's own pixels that says what program made it: invisible, and still there in copies.

The networks are RivaGAN's (Zhang, Xu, Cuesta-Infante and Veeramachaneni, "Robust Invisible Video Watermarking with
Attention", 2019), as ONNX files in the package invisible-watermark. Only its files are used, by onnxruntime:
importing it would load PyWavelets and another OpenCV, without which it does as well.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import UserError

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB

# This program's mark: the first 32 bits of the SHA-256 of "diffusers-hunyuan-portrait", which nobody has chosen.
MARK = 0xEDAF807F
BITS = 32
# Bits of the mark that must be read for it to be there. In what does not bear it each is right by half a chance,
# and 28 or more are in 41,449 of 2^32 readings: one false alarm in 100,000. On 70 real clips and pictures that do
# not bear it, 14.6 were right on average (deviation 2.5) and never more than 21.
ENOUGH = 28
# The networks see every picture at this size, the root of its area: what they add is then as coarse in each as
# compression spares, is found again in enlarged and reduced copies, and takes the same time.
SEEN_SIDE = 256
# For a large picture that stands alone, such as a contact sheet, whose small frames drown the mark at that size.
ALONE_SIDE = 512
SURE, MOST_LAYERS = 31, 3  # bits that such a picture is marked for, and how often at most
_LEVELS = 127.5  # to 1; the networks take pixels from -1 to 1


@dataclass(frozen=True)
class MarkReading:
    """What was read from some pictures of a file.

    Args:
        bits: how many of the `BITS` bits are the mark's.
        pictures: how many pictures were read.
    """

    bits: int
    pictures: int

    @property
    def is_there(self) -> bool:
        """Whether it is this program's mark; see `ENOUGH`."""
        return self.bits >= ENOUGH


class Watermark:
    """Puts this program's mark into pictures, and reads it.

    Raises:
        UserError: what it needs is not installed, or damaged.
    """

    def __init__(self) -> None:
        import onnxruntime

        folder = find_networks()
        try:
            self._encoder, self._decoder = (
                onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
                for name in _NETWORKS
            )
        except Exception as error:  # onnxruntime has a class for each way in which a file can be wrong
            raise UserError(
                f"The watermark's networks in {folder} cannot be read; install invisible-watermark again."
            ) from error
        self._mark = np.array([[MARK >> shift & 1 for shift in reversed(range(BITS))]], np.float32)  # (1, bits)

    def mark(self, picture: Picture, side: int = SEEN_SIDE) -> Picture:
        """The same picture with the mark in it, (H, W, 3) uint8 RGB; levels change by two or three at most.

        Source: as the package applies it, but for the size, and rounded where that cuts off.

        Args:
            picture: (H, W, 3) uint8 RGB.
            side: the root of the area at which the networks see it.
        """
        frame = _as_input(picture, side)
        (marked,) = self._encoder.run(None, {"frame": frame, "data": self._mark})
        seen = _LEVELS * (marked - frame)[0, ::-1, 0].transpose(1, 2, 0)  # (rows, columns, RGB)
        height, width = picture.shape[:2]
        added = cv2.resize(np.ascontiguousarray(seen), (width, height), interpolation=cv2.INTER_LINEAR)
        # OpenCV's sum is rounded and limited without copies of a picture that may have 100 megapixels.
        return np.asarray(cv2.add(picture, added, dtype=cv2.CV_8U), np.uint8)

    def mark_alone(self, picture: Picture) -> Picture:
        """The same of a picture that stands alone: up to `MOST_LAYERS` times, until it is sure to be read."""
        side = ALONE_SIDE if picture.shape[0] * picture.shape[1] >= ALONE_SIDE**2 else SEEN_SIDE
        for _ in range(MOST_LAYERS):
            picture = self.mark(picture, side)
            if self.read([picture], side).bits >= SURE:
                break
        return picture

    def read(self, pictures: Iterable[Picture], side: int = SEEN_SIDE) -> MarkReading:
        """What of the mark is in pictures of one file, (H, W, 3) uint8 RGB each: each bit by the mean over them.

        Raises:
            ValueError: there is no picture.
        """
        read = [self._decoder.run(None, {"frame": _as_input(picture, side)})[0][0] for picture in pictures]
        if not read:
            raise ValueError("The mark is read from at least one picture.")
        bits = np.mean(read, axis=0) > 0.5  # (bits,)
        return MarkReading(int((bits == (self._mark[0] > 0.5)).sum()), len(read))

    def read_alone(self, picture: Picture) -> MarkReading:
        """What of the mark is in a picture that stands alone: a frame, or what `mark_alone` gave.

        It is the better of two readings, which doubles the false alarms.
        """
        readings = (self.read([picture], side) for side in (SEEN_SIDE, ALONE_SIDE))
        return max(readings, key=lambda reading: reading.bits)


def find_networks() -> Path:
    """The folder that the networks are in, without importing anything of it.

    Raises:
        UserError: they are not installed.
    """
    spec = find_spec("imwatermark")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        if all((Path(folder) / name).is_file() for name in _NETWORKS):
            return Path(folder)
    raise UserError(
        "The watermark needs invisible-watermark; install it with "
        "`pip install 'diffusers-hunyuan-portrait[watermark]'`."
    )


def check_frame_size(height: int, width: int) -> None:
    """Sees that frames of this size can bear the mark: in smaller ones, compression would wipe it out.

    Raises:
        UserError: they cannot.
    """
    if height * width < SEEN_SIDE**2:
        raise UserError(
            f"Frames of {width}x{height} pixels are too small to bear the watermark, which takes as many as "
            f"{SEEN_SIDE}x{SEEN_SIDE} have; use a larger portrait, or leave out --watermark."
        )


_NETWORKS = ("rivagan_encoder.onnx", "rivagan_decoder.onnx")


def _as_input(picture: Picture, side: int) -> npt.NDArray[np.float32]:
    """As the networks take it: (1, BGR, 1, rows, columns), -1 to 1, of the area side · side."""
    height, width = picture.shape[:2]
    scale = side / math.sqrt(height * width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    shrinks = size[0] < width
    seen: Any = picture
    if size != (width, height):
        seen = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    # Blue first, as the package gives pictures to them.
    pixels = np.ascontiguousarray(seen[..., ::-1].transpose(2, 0, 1), np.float32) / _LEVELS - 1
    return pixels[None, :, None]
