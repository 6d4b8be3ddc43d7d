"""A photograph with a face, and a clip made from it in which the face moves, for tests that must run everywhere.

The photograph is scikit-image's astronaut, by NASA and in the public domain.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
from skimage.data import astronaut

FRAME_RATE = 25
SHORT = 6  # frames, of a clip that drives a command

# Where things are in the astronaut's picture, in pixels.
HEAD, HEAD_RADIUS = (225.0, 115.0), 125.0
MOUTH = (223.0, 141.0)
BROWS = ((205.0, 91.0), (247.0, 93.0))


def portrait_picture() -> npt.NDArray[np.uint8]:
    """The astronaut, (512, 512, 3) uint8 RGB."""
    return astronaut()


def moving_frames(num_frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The portrait's head turning, nodding and speaking: `num_frames` times (512, 512, 3) uint8 RGB.

    The same every time. Frame i shows second i / 25 of a motion that goes on without end.
    """
    picture = portrait_picture()
    for index in range(num_frames):
        map_x, map_y = _where_from(picture.shape[:2], index / FRAME_RATE)
        yield cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _where_from(shape: tuple[int, int], seconds: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each pixel of the frame at `seconds`, the place in the portrait that it shows: x and y, (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)  # (rows, columns)

    # The head: turned, scaled and shifted as a whole; shoulders and background are left where they are.
    turn = math.radians(5.0) * _wave(seconds, 0.5)
    scale = 1.0 + 0.035 * _wave(seconds, 0.35, 0.25)
    shift_x, shift_y = 9.0 * _wave(seconds, 0.4), 4.0 * _wave(seconds, 0.8, 0.1)
    from_x, from_y = x - HEAD[0] - shift_x, y - HEAD[1] - shift_y
    still_x = (math.cos(turn) * from_x + math.sin(turn) * from_y) / scale + HEAD[0]
    still_y = (math.cos(turn) * from_y - math.sin(turn) * from_x) / scale + HEAD[1]
    part_of_head = np.exp(-((np.hypot(x - HEAD[0], y - HEAD[1]) / HEAD_RADIUS) ** 4))
    x += part_of_head * (still_x - x)
    y += part_of_head * (still_y - y)

    # The face: the jaw drops below the line between the lips, the brows rise. `x` and `y` are portrait places.
    jaw = 7.0 * _pulse(seconds, 1.2)
    below = np.clip((y - (MOUTH[1] - 4)) / 22, 0, 1)
    drop = jaw * below**2 * (3 - 2 * below) * _bump(x, y, (MOUTH[0], MOUTH[1] + 14), 30, 26)
    brow = 4.0 * _pulse(seconds, 0.7)
    rise = brow * sum(_bump(x, y, centre, 18, 9) for centre in BROWS)
    return x.astype(np.float32), (y - drop + rise).astype(np.float32)


def _wave(seconds: float, a_second: float, phase: float = 0.0) -> float:
    """From -1 to 1, so many times a second."""
    return math.sin(2 * math.pi * (a_second * seconds + phase))


def _pulse(seconds: float, a_second: float) -> float:
    """From 0 to 1 and back, so many times a second, beginning at 0."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * a_second * seconds)


def _bump(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    centre: tuple[float, float],
    width: float,
    height: float,
) -> npt.NDArray[np.float64]:
    """1 at the centre, falling smoothly to 0 over about twice `width` and `height`."""
    return np.exp(-(((x - centre[0]) / width) ** 2) - ((y - centre[1]) / height) ** 2)
