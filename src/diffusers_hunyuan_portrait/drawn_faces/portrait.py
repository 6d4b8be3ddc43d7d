"""The picture of somebody at one moment, and where their face is in it."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..face import Face
from . import features
from .canvas import Canvas, Points, Spot, strokes
from .colours import colours, mix
from .head import RESTING_PLACE, Head, rings
from .identity import BALD, Identity
from .motion import Motion

FACE_BOX = np.array([[-0.76, -0.74], [0.76, 1.1]])  # its corners about the head's centre, in the head's scale
BEHIND_NECK = 0.35  # hair longer than this falls behind the neck
SMALLEST, LARGEST = 16, 1024  # pixels a side: below, nothing is left of a face; above, memory is


def draw(identity: Identity, motion: Motion, size: int = 128) -> NDArray[np.uint8]:
    """The picture of `identity` at the moment `motion`: (size, size, 3) RGB, always the same.

    Raises:
        UserError: where `size` is not between 16 and 1024.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"A drawn face of {size} pixels is not possible; ask for {SMALLEST} to {LARGEST}.")
    canvas = Canvas(_background(identity, size).copy(), size)
    head = Head(identity, motion)
    _draw_back_hair(canvas, head)
    _draw_body(canvas, head)
    features.draw_ears(canvas, head)
    _draw_hair_cap(canvas, head)
    _draw_skin(canvas, head)
    features.draw_near_ear(canvas, head)
    features.draw_mouth(canvas, head)
    features.draw_nose(canvas, head)
    features.draw_eyes(canvas, head)
    _draw_fringe(canvas, head)
    features.draw_brows(canvas, head)
    features.draw_glasses(canvas, head)
    return canvas.pixels


def locate(identity: Identity, motion: Motion, size: int = 128) -> Face:
    """Where the face is in `draw(identity, motion, size)`: the five points and the box, in pixels.

    The eyes' points are the middles of the openings at rest, wherever the eyes look. The box is about where
    MTCNN's is on average, but tells the head's place and size alone. Those of a driving clip are told relative to
    its first frame's box; with a box that followed the features of a turned head, they could not be told from its
    turning.
    """
    head = Head(identity, motion)
    points = np.concatenate([features.eye_centres(head), features.nose_tip(head), features.mouth_corners(head)])
    box = head.centre + head.scale * FACE_BOX
    return Face(box.ravel() * size, points * size, 1.0)


@lru_cache(maxsize=8)
def _background(identity: Identity, size: int) -> NDArray[np.uint8]:
    """(size, size, 3): from light above to dark below, with a disc behind the head."""
    tones = colours(identity)
    light, dark = (
        mix(tones.background, tones.background_light, 0.5),
        mix(tones.background, tones.background_dark, 0.6),
    )
    height = (np.linspace(0, 1, size)[:, None] + 0.25 * np.linspace(0, 1, size))[..., None] / 1.25
    canvas = Canvas((light + (dark - light) * height + 0.5).astype(np.uint8), size)
    canvas.fill(
        mix(mix(light, dark, 0.4), tones.background_light, identity.background_shape),
        RESTING_PLACE + 0.44 * _circle(96),
    )
    canvas.shade(Spot(RESTING_PLACE + np.array([0, 0.1]), _across(0.55), _down(0.6), tones.background_dark, 0.35))
    canvas.pixels.setflags(write=False)
    return canvas.pixels


def _draw_back_hair(canvas: Canvas, head: Head) -> None:
    """What falls behind the neck, for hair longer than the ears."""
    identity, tones = head.identity, head.colours
    if identity.hair_length <= BEHIND_NECK:
        return
    places, weight = _fall(identity)
    turned = head.project(places)
    hanging = head.centre + head.scale * places[:, :2]
    lock = _hull(turned + (hanging - turned) * weight)
    low, span = lock.min(axis=0), np.ptp(lock, axis=0)
    spots = [
        Spot(low + span * [part, 0.55], _across(0.12), _down(0.45 * span[1]), tones.hair, 0.9)
        for part in (0.06, 0.94)
    ]
    canvas.fill_shaded(lock, tones.hair_dark, spots)


@lru_cache(maxsize=64)
def _fall(identity: Identity) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places all over the hair behind the neck, (n, 3), and how far each hangs and is not tilted, (n, 1)."""
    fall = identity.hair_length - BEHIND_NECK
    t = np.linspace(0, 1, 12)[:, None]
    y = -0.8 + (1.3 + 1.4 * fall) * t
    volume = 1.1 + 0.14 * identity.hair_volume + 0.2 * fall * np.sin(np.pi * np.minimum(t, 0.8))
    width = identity.head_width * volume * (1 - 0.3 * t**4 - 0.45 * (1 - t) ** 4)
    angle = np.radians(np.arange(90, 271, 20))
    *places, weight = np.broadcast_arrays(width * np.sin(angle), y, 0.7 * np.cos(angle) + 0.1, 0.8 * t**1.5)
    return np.stack(places, axis=-1).reshape(-1, 3), weight.reshape(-1, 1)


def _draw_body(canvas: Canvas, head: Head) -> None:
    """Neck, shoulders and clothes, which follow the head a little."""
    identity, motion, tones = head.identity, head.motion, head.colours
    grown = 1 + 0.4 * (motion.size - 1)
    base = np.array([0.5 + 0.4 * motion.x, 0.885 + 0.4 * motion.y])
    canvas.fill_shaded(
        np.concatenate([base + grown * _SHOULDERS, [[1.2, 1.3], [-0.2, 1.3]]]),
        tones.clothes,
        [
            Spot(base + grown * np.array([-0.24, 0.06]), _across(0.2), _down(0.1), tones.clothes_light, 0.8),
            Spot(base + grown * np.array([0.3, 0.16]), _across(0.3), _down(0.2), tones.clothes_dark, 0.8),
        ],
    )
    thick = 0.17 * identity.head_width
    depth = 0.03 + 0.08 * identity.neckline
    bend = np.array([0.8 - 0.3 * identity.neckline, 0.75 - 0.25 * identity.neckline])  # how round the neckline is
    corner, low = np.array([1.15 * thick, -0.01]), np.array([bend[0] * thick, bend[1] * depth])
    line = base + grown * _smooth(np.stack([corner, low, [0, depth], low * [-1, 1], corner * [-1, 1]]))
    jaw = head.project(np.array([[-0.55, 0.45, 0.0], [0.55, 0.45, 0.0]]) * [identity.head_width, 1, 1])
    waist = base + grown * np.array([[thick, -0.05], [-thick, -0.05]])
    neck = np.concatenate([waist[1:], jaw, waist[:1], line])
    (chin,) = head.on_face((0, 0.9, 0))
    spots = [
        Spot(base + grown * np.array([-0.03, 0.03]), _across(0.14), _down(0.07), tones.skin, 0.9),
        Spot(chin[0] + [0.015, 0.01], _across(0.2 * grown), _down(0.12 * grown), tones.neck_shadow, 0.9),
    ]
    canvas.fill(tones.clothes_dark, *strokes([line], 0.024 * grown))
    canvas.fill_shaded(neck, mix(tones.skin, tones.skin_shadow, 0.7), spots)


def _draw_hair_cap(canvas: Canvas, head: Head) -> None:
    """The hair on the skull; the skin is drawn over it."""
    identity, tones = head.identity, head.colours
    if identity.hair_length < BALD:
        return
    bottom = -0.05 + 0.75 * min(identity.hair_length, 0.8)
    places = rings(identity, -1.0, bottom, 1.05 + 0.13 * identity.hair_volume)
    cap = _hull(head.project(places - [0, 0.05 + 0.1 * identity.hair_volume, 0.04]))
    low, span = cap.min(axis=0), np.ptp(cap, axis=0)
    across, down = _across(0.4 * span[0]), _down(span[1])
    spots = [
        Spot(low + span * [0.8, 0.75], across, 0.6 * down, tones.hair_dark, 0.8),
        Spot(low + span * [0.36, 0.2], across, 0.22 * down, tones.hair_light, 0.75),
    ]
    canvas.fill_shaded(cap, tones.hair, spots)


def _draw_skin(canvas: Canvas, head: Head) -> None:
    """Face and forehead, with the light from the picture's upper left."""
    tones, across, down = head.colours, head.across, head.down
    places = _skin(head.identity).copy()
    places[:, 1] = head.drop(places[:, 1])
    (middle,) = head.on_face(([-0.2, 0.0, 0.0], [-0.15, 1.0, _hairline(head.identity)], 0))
    spots = [
        Spot(head.centre + across * 1.05 + down * 0.35, across * 0.8, down * 1.5, tones.skin_shadow, 0.85),
        Spot(middle[1], across * 0.8, down * 0.3, tones.skin_shadow, 0.45),
        Spot(middle[0], across * 0.75, down * 0.75, tones.skin_light, 0.8),
        *features.face_shades(head),
    ]
    if head.identity.hair_length >= BALD:
        spots.append(Spot(middle[2], across * 0.8, down * 0.2, tones.skin_shadow, 0.55))
    canvas.fill_shaded(_hull(head.project(places)), tones.skin, spots)


@lru_cache(maxsize=64)
def _skin(identity: Identity) -> NDArray[np.float64]:
    """The part of the head's surface that no hair covers, (n, 3)."""
    surface = rings(identity, -1.0, 1.0, 1.0)
    if identity.hair_length < BALD:
        return surface
    x, y, z = surface.T
    temple = np.abs(x) / identity.head_width  # hair frames the forehead in an arch
    sideburn = np.clip((y + 0.1) / 0.5, 0, 1)  # ends between eyes and jaw
    bare = (y > _hairline(identity) + 0.55 * temple**4) & (z > 0.2 - 0.4 * sideburn)
    return surface[bare]


def _draw_fringe(canvas: Canvas, head: Head) -> None:
    """Two swept locks from the parting to the temples."""
    identity, tones = head.identity, head.colours
    if identity.hair_length < BALD:
        return
    left_lower, left_upper, right_lower, right_upper = head.on_face(*_locks(identity))
    for tone, lower, upper in (
        (mix(tones.hair, tones.hair_light, 0.12), left_lower, left_upper),
        (mix(tones.hair, tones.hair_dark, 0.25), right_lower, right_upper),
    ):
        canvas.fill(tone, np.concatenate([lower, upper[::-1]]))
        strands = [lower + (upper - lower) * part for part in (0.35, 0.7)]
        canvas.fill(mix(tone, tones.hair_light, 0.35), *strokes(strands, _STRAND))


@lru_cache(maxsize=64)
def _locks(identity: Identity) -> list[features.Curve]:
    """The lower and the upper edge of the image-left lock, and of the image-right one, for `Head.on_face`."""
    root = 0.45 * identity.parting * identity.head_width
    top, bottom = _hairline(identity) - 0.12, -0.5 + 0.12 * identity.fringe
    t = _SWEEP
    lower = top + (bottom - top) * np.sin(t * np.pi / 2) ** 0.8 + 0.42 * t**3
    upper = top - 0.05 + (lower[-1] - top + 0.05) * t**5
    sides = (root + (side * 0.97 * identity.head_width - root) * t for side in features.SIDES)
    return [(x, y, lift) for x in sides for y, lift in ((lower, 0.06), (upper, 0.1))]


def _hairline(identity: Identity) -> float:
    """The height where the forehead ends."""
    return -0.68 + 0.16 * identity.fringe


def _hull(points: Points) -> Points:
    """The convex outline of points in the picture."""
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], dtype=np.float64)


def _circle(count: int) -> Points:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _across(length: float) -> NDArray[np.float64]:
    return np.array([length, 0.0])


def _down(length: float) -> NDArray[np.float64]:
    return np.array([0.0, length])


def _smooth(points: Points, steps: int = 6) -> Points:
    """A curve through `points` (Catmull-Rom's), `steps` pieces from each to the next."""
    around = np.concatenate([points[:1], points, points[-1:]])
    first, second, third, fourth = around[:-3], around[1:-2], around[2:-1], around[3:]
    t = (np.arange(steps) / steps)[:, None, None]
    curve = (
        2 * second
        + t * (third - first)
        + t**2 * (2 * first - 5 * second + 4 * third - fourth)
        + t**3 * (3 * second - first - 3 * third + fourth)
    ) / 2  # (steps, pieces, xy)
    return np.concatenate([curve.swapaxes(0, 1).reshape(-1, 2), points[-1:]])


_SWEEP = np.linspace(0, 1, 9)  # along a lock, from the parting to the temple
_STRAND = 0.01 * np.sin(_SWEEP * np.pi)  # widths along a strand of it
_HALF_SHOULDERS = np.array([(0.1, -0.03), (0.18, 0.0), (0.31, 0.04), (0.42, 0.1), (0.5, 0.3)])
_SHOULDERS = _smooth(np.concatenate([_HALF_SHOULDERS[::-1] * [-1, 1], _HALF_SHOULDERS]))  # about the neck's base
