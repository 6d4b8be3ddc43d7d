"""The head in three dimensions: where each place on it lies in the picture."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import Points
from .identity import Identity
from .motion import Motion

HEAD_SCALE = 0.355  # half the height of an average head at rest, in sides of the picture
RESTING_PLACE = np.array([0.5, 0.445])  # of the head's centre
DEPTH = 0.86  # from the head's centre to the face, in halves of an average head's height
CHIN_DROP = 0.15  # how far an open jaw lowers the chin
PERSPECTIVE = 7.0  # the eye's distance from the head's centre, in halves of an average head's height


class Head:
    """A posed head.

    Its own axes are x to the picture's right, y down and z towards the viewer, from the head's centre, in halves
    of an average head's height: the crown is at y = -1 and the chin at y = 1 before `head_length` is applied.
    """

    def __init__(self, identity: Identity, motion: Motion) -> None:
        self.identity = identity
        self.motion = motion
        self.scale = HEAD_SCALE * motion.size
        self.centre = RESTING_PLACE + [motion.x, motion.y]
        self.rotation = _rotation(motion)

    def project(self, places: NDArray[np.float64]) -> Points:
        """Where places (n, 3) in the head's axes lie in the picture, (n, 2) in its sides."""
        turned = (places * [1, self.identity.head_length, 1]) @ self.rotation.T
        nearness = PERSPECTIVE / (PERSPECTIVE - turned[:, 2:])
        return self.centre + self.scale * nearness * turned[:, :2]

    def on_face(self, x: ArrayLike, y: ArrayLike, lift: ArrayLike = 0.0) -> Points:
        """Where places on the front of the head lie in the picture, (n, 2).

        Args:
            x, y: of the place, as the head at rest shows it from the front.
            lift: how far it stands out from the surface.
        """
        x, y, lift = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (x, y, lift)))
        width = half_width(self.identity, y)
        front = np.sqrt(1 - np.clip(x / np.maximum(width, 1e-3), -0.98, 0.98) ** 2)
        return self.project(np.stack([x, self.drop(y), half_depth(y) * front + lift], axis=-1).reshape(-1, 3))

    def drop(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heights `y` with the lower face following the open jaw."""
        part = np.clip((y - 0.55) / 0.4, 0, 1)
        return y + CHIN_DROP * self.motion.jaw * part * part * (3 - 2 * part)


def half_width(identity: Identity, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The head's half width at heights `y`, -1 to 1."""
    above = (1 - np.clip(-y, 0, 1) ** 2.5) ** 0.48
    pointed = (1 - np.clip(y, 0, 1) ** (1.9 + 1.5 * identity.jaw)) ** 0.62
    cheeks = (0.03 + 0.09 * identity.cheeks) * np.exp(-(((y - 0.4) / 0.22) ** 2))
    return identity.head_width * np.where(y < 0, above, pointed * (1 + cheeks))


def half_depth(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the face is in front of the head's centre at heights `y`, -1 to 1."""
    above = (1 - np.clip(-y, 0, 1) ** 2.6) ** 0.45
    below = 1 - 0.22 * np.clip(y, 0, 1) ** 2
    return DEPTH * np.where(y < 0, above, below)


@lru_cache(maxsize=64)
def rings(identity: Identity, top: float, bottom: float, grown: float) -> NDArray[np.float64]:
    """The head's surface between two heights, (n, 3), as rings of places.

    Args:
        top, bottom: heights, -1 to 1.
        grown: the factor by which it is larger than the head itself, sideways and to the back.
    """
    y = np.linspace(top, bottom, 15)[:, None]
    angle = np.linspace(-np.pi, np.pi, 28, endpoint=False)
    back = np.clip(1 - np.clip((y - 0.1) / 0.6, 0, 1) ** 2, 0.25, 1)  # the neck's side of the head is flat
    x = grown * half_width(identity, y) * np.sin(angle)
    depth = np.where(np.cos(angle) > 0, half_depth(y), 0.95 * grown * np.sqrt(np.clip(1 - y * y, 0, 1)) * back)
    z = depth * np.cos(angle)
    surface = np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 3)
    surface.setflags(write=False)
    return surface


def _rotation(motion: Motion) -> NDArray[np.float64]:
    """(3, 3): turned by yaw, then by pitch, then by roll."""
    yaw, pitch, roll = np.radians([motion.yaw, motion.pitch, motion.roll])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return tilt @ nod @ turn
