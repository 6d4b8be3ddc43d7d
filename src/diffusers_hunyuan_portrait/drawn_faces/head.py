"""The head in three dimensions: where each place on it lies in the picture."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import Points
from .colours import colours
from .identity import Identity
from .motion import Motion

HEAD_SCALE = 0.36  # half the height of an average head at rest, in sides of the picture
RESTING_PLACE = np.array([0.5, 0.445])  # of the head's centre
DEPTH = 0.62  # from the head's centre to the face, in halves of an average head's height
CHIN_DROP = 0.13  # how far an open jaw lowers the chin
PERSPECTIVE = 7.0  # the eye's distance from the head's centre, in halves of an average head's height


class Head:
    """A posed head.

    Its own axes are x to the picture's right, y down and z towards the viewer, from the head's centre, in halves
    of an average head's height: the crown is at y = -1 and the chin at y = 1 before `head_length` is applied.
    """

    def __init__(self, identity: Identity, motion: Motion) -> None:
        self.identity = identity
        self.colours = colours(identity)
        self.motion = motion
        self.scale = HEAD_SCALE * motion.size
        self.centre = RESTING_PLACE + np.array([motion.x, motion.y])
        self.shape = shape_of(identity)
        self.rotation = _rotation(motion)
        self.across, self.down = self.scale * self.rotation[:2, :2].T  # the picture of its x and y axes
        self.turn = np.array([[1.0], [identity.head_length], [1.0]]) * self.rotation.T

    def project(self, places: NDArray[np.float64]) -> Points:
        """Where places (n, 3) in the head's axes lie in the picture, (n, 2) in its sides."""
        turned = places @ self.turn
        nearness = self.scale * PERSPECTIVE / (PERSPECTIVE - turned[:, 2:])
        return self.centre + nearness * turned[:, :2]

    def on_face(self, *curves: tuple[ArrayLike, ArrayLike, ArrayLike]) -> list[Points]:
        """Where curves on the front of the head lie in the picture, each (n, 2).

        Args:
            curves: the x and y of their places, as the head at rest shows them from the front, and how far they
                stand out from the surface; numbers, or arrays of length n.
        """
        ends = np.cumsum([max(np.size(x), np.size(y)) for x, y, _ in curves]).tolist()
        places, lifts = np.empty((ends[-1], 3)), np.empty(ends[-1])
        for (x, y, lift), start, end in zip(curves, [0, *ends], ends, strict=False):
            places[start:end, 0], places[start:end, 1], lifts[start:end] = x, y, lift
        width, depth = self.shape.at(places[:, 1])
        side = np.minimum(np.abs(places[:, 0]) / width, 0.98)
        places[:, 2] = depth * _front(side) + lifts
        places[:, 1] = self.drop(places[:, 1])
        points = self.project(places)
        return [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def drop(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heights `y` with the lower face following the open jaw."""
        part = np.minimum(np.maximum((y - 0.55) / 0.4, 0), 1)
        return y + CHIN_DROP * self.motion.jaw * part * part * (3 - 2 * part)


class Shape:
    """The outline of a head: its half width and its depth in front at each height."""

    def __init__(self, identity: Identity) -> None:
        self.heights = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 129))  # close together at crown and chin
        above, below = np.maximum(-self.heights, 0), np.maximum(self.heights, 0)
        skull = (1 - above**2.5) ** 0.48
        jaw = (1 - below ** (1.8 + 1.2 * identity.jaw)) ** 0.52
        cheeks = 1 + (0.03 + 0.09 * identity.cheeks) * np.exp(-(((self.heights - 0.4) / 0.22) ** 2))
        self.widths = np.maximum(identity.head_width * np.where(above > 0, skull, jaw * cheeks), 1e-3)
        self.depths = DEPTH * np.where(above > 0, (1 - above**2.6) ** 0.45, 1 - 0.15 * below**2)

    def at(self, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Half width and depth at heights `y`, -1 to 1."""
        heights = np.asarray(y, dtype=np.float64)
        return np.interp(heights, self.heights, self.widths), np.interp(heights, self.heights, self.depths)


@lru_cache(maxsize=256)
def shape_of(identity: Identity) -> Shape:
    """The shape of the head of `identity`."""
    return Shape(identity)


def _front(side: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the face stands out, at `side` (0 middle, 1 edge) of its half width: flatter than an ellipse."""
    squared = side * side
    return np.sqrt(1 - squared * squared)


@lru_cache(maxsize=64)
def rings(identity: Identity, top: float, bottom: float, grown: float) -> NDArray[np.float64]:
    """The head's surface between two heights, (n, 3), as rings of places.

    Args:
        top, bottom: heights, -1 to 1.
        grown: the factor by which it is larger than the head itself, sideways and to the back.
    """
    low, high = np.arcsin([top, bottom])
    y = np.sin(np.linspace(low, high, 17))[:, None]  # close together at crown and chin
    angle = np.linspace(-np.pi, np.pi, 32, endpoint=False)
    width, depth = shape_of(identity).at(y)
    back = 0.8 * grown * np.sqrt(1 - y * y) * np.clip(1 - np.clip((y - 0.1) / 0.6, 0, 1) ** 2, 0.25, 1)
    x = grown * width * np.sin(angle)
    z = np.where(np.cos(angle) > 0, depth * _front(np.abs(np.sin(angle))), back * np.cos(angle))
    surface = np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 3)
    surface.setflags(write=False)
    return surface


def _rotation(motion: Motion) -> NDArray[np.float64]:
    """(3, 3): turned by yaw, then by pitch, then by roll."""
    yaw, pitch, roll = math.radians(motion.yaw), math.radians(motion.pitch), math.radians(motion.roll)
    turn = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    tilt = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return tilt @ nod @ turn
