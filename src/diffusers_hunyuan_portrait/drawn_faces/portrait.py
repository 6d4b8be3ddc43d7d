"""The picture of somebody at one moment, and where their face is in it."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..face import Face
from . import features
from .canvas import OVERSAMPLING, Canvas, Points
from .colours import colours, mix
from .head import HEAD_SCALE, RESTING_PLACE, Head, rings
from .identity import BALD, Identity
from .motion import Motion

SMALLEST, LARGEST = 16, 1024  # pixels a side: below, nothing is left of a face; above, memory is


def draw(identity: Identity, motion: Motion, size: int = 128) -> NDArray[np.uint8]:
    """The picture of `identity` at the moment `motion`: (size, size, 3) RGB, always the same.

    Raises:
        UserError: where `size` is not between 16 and 1024.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"A drawn face of {size} pixels is not possible; ask for {SMALLEST} to {LARGEST}.")
    side = size * OVERSAMPLING
    canvas = Canvas(_background(identity, side).copy(), side)
    head = Head(identity, motion)
    _draw_back_hair(canvas, head)
    _draw_body(canvas, head)
    features.draw_ears(canvas, head)
    _draw_hair_cap(canvas, head)
    _draw_skin(canvas, head)
    features.draw_mouth(canvas, head)
    features.draw_nose(canvas, head)
    features.draw_eyes(canvas, head)
    _draw_fringe(canvas, head)
    features.draw_brows(canvas, head)
    features.draw_glasses(canvas, head)
    return canvas.shrunk()


def locate(identity: Identity, motion: Motion, size: int = 128) -> Face:
    """Where the face is in `draw(identity, motion, size)`: the five points and the box, in pixels.

    The eyes' points are the middles of the openings at rest, wherever the eyes look; the box goes from the middle
    of the forehead to the chin and from cheek to cheek.
    """
    head = Head(identity, motion)
    points = np.concatenate([features.eye_centres(head), features.nose_tip(head), features.mouth_corners(head)])
    outline = _face_outline(head)
    return Face(np.concatenate([outline.min(axis=0), outline.max(axis=0)]) * size, points * size, 1.0)


def _face_outline(head: Head) -> Points:
    """Places all around the face, from the forehead to the chin."""
    angle = np.radians(np.arange(-70, 71, 10))[:, None]
    y = np.array([-0.42, -0.2, 0.1, 0.4, 0.7, 0.85, 1.0])
    width = features.half_width(head.identity, y)
    return head.on_face(width * np.sin(angle), y)


@lru_cache(maxsize=8)
def _background(identity: Identity, side: int) -> NDArray[np.uint8]:
    """(side, side, 3), as drawn: from light above to dark below, with a disc behind the head."""
    tones = colours(identity)
    light, dark = (
        mix(tones.background, tones.background_light, 0.5),
        mix(tones.background, tones.background_dark, 0.6),
    )
    height = (np.linspace(0, 1, side)[:, None] + 0.25 * np.linspace(0, 1, side))[..., None] / 1.25
    canvas = Canvas((light + (dark - light) * height + 0.5).astype(np.uint8), side)
    disc = RESTING_PLACE + 0.44 * _circle(96)
    part = canvas.part(disc)
    part.fill(disc, mix(mix(light, dark, 0.4), tones.background_light, identity.background_shape))
    canvas.reveal(part, disc)
    canvas.shade(RESTING_PLACE + [0, 0.1], [0.55, 0], [0, 0.6], tones.background_dark, 0.35)
    canvas.pixels.setflags(write=False)
    return canvas.pixels


def _draw_back_hair(canvas: Canvas, head: Head) -> None:
    """What falls behind the neck, for hair longer than the ears."""
    fall = head.identity.hair_length - 0.35
    if fall <= 0:
        return
    y = np.linspace(-0.4, 0.5 + 1.5 * fall, 8)[:, None]
    width = head.identity.head_width * (1.06 + 0.14 * head.identity.hair_volume + 0.12 * np.clip(y, 0, 1) * fall)
    angle = np.radians(np.arange(90, 271, 15))
    x, z = width * np.sin(angle), 0.8 * np.cos(angle) + 0.1
    lock = _hull(head.project(np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 3)))
    tones = colours(head.identity)
    canvas.fill(lock, tones.hair_dark)
    part = canvas.part(lock)
    for side in (-1, 1):
        middle = head.project(np.array([[side * width.max() * 0.9, 0.3, 0]]))[0]
        part.shade(middle, [0.07, 0], [0, 0.3], tones.hair, 0.9)
    canvas.reveal(part, lock)


def _draw_body(canvas: Canvas, head: Head) -> None:
    """Neck, shoulders and clothes, which follow the head a little."""
    identity, motion, tones = head.identity, head.motion, colours(head.identity)
    grown = 1 + 0.4 * (motion.size - 1)
    base = np.array([0.5 + 0.4 * motion.x, 0.92 + 0.35 * motion.y])
    shoulder = np.array([(0.0, -0.015), (0.12, -0.02), (0.2, 0.015), (0.33, 0.05), (0.43, 0.12), (0.48, 0.3)])
    torso = base + grown * _smooth(np.concatenate([shoulder[::-1] * [-1, 1], shoulder[1:]]))
    torso = np.concatenate([torso, [[torso[-1, 0], 1.3], [torso[0, 0], 1.3]]])
    canvas.fill(torso, tones.clothes)
    part = canvas.part(torso)
    part.shade(base + [-0.26, 0.07], [0.2, 0], [0, 0.12], tones.clothes_light, 0.7)
    part.shade(base + [0.3, 0.16], [0.3, 0], [0, 0.2], tones.clothes_dark, 0.8)
    canvas.reveal(part, torso)

    thick = HEAD_SCALE * 0.62 * identity.head_width * grown
    jaw = head.project(np.array([[-0.62, 0.45, 0.05], [0.62, 0.45, 0.05]]) * [identity.head_width, 1, 1])
    collar = base + grown * np.array([[thick * 1.12, 0.0], [-thick * 1.12, 0.0]])
    opening = base + grown * np.array([0, 0.035 + 0.09 * identity.neckline])
    sag = np.array([0.72 - 0.3 * identity.neckline, 0.3])  # how round the neckline is
    low = opening + np.array([[thick * sag[0], -grown * sag[1] * 0.05], [-thick * sag[0], -grown * sag[1] * 0.05]])
    line = _smooth(np.stack([collar[0], low[0], opening, low[1], collar[1]]))
    neck = np.concatenate([jaw, line])
    canvas.stroke(line, 0.022 * grown, tones.clothes_dark)
    canvas.fill(neck, tones.skin)
    part = canvas.part(neck)
    chin = head.on_face(0, 0.95)[0]
    part.shade(chin + [0.012, 0.0], [0.24 * grown, 0], [0, 0.13 * grown], tones.skin_shadow, 1.0)
    part.shade(base + [0.1, -0.04], [0.08, 0], [0, 0.12], tones.skin_shadow, 0.6)
    canvas.reveal(part, neck)


def _draw_hair_cap(canvas: Canvas, head: Head) -> None:
    """The hair on the skull; the skin is drawn over it."""
    identity, tones = head.identity, colours(head.identity)
    if identity.hair_length < BALD:
        return
    bottom = -0.05 + 0.75 * min(identity.hair_length, 0.8)
    grown = 1.05 + 0.13 * identity.hair_volume
    crown = rings(identity, -1.0, bottom, grown) * [1, 1, 1] + [0, -0.05 - 0.1 * identity.hair_volume, -0.04]
    cap = _hull(head.project(crown))
    canvas.fill(cap, tones.hair)
    part = canvas.part(cap)
    low, high = cap.min(axis=0), cap.max(axis=0)
    span = high - low
    part.shade(low + span * [0.8, 0.75], span * [0.4, 0], span * [0, 0.6], tones.hair_dark, 0.8)
    part.shade(low + span * [0.36, 0.2], span * [0.4, 0], span * [0, 0.22], tones.hair_light, 0.75)
    canvas.reveal(part, cap)


def _draw_skin(canvas: Canvas, head: Head) -> None:
    """Face and forehead, with the light from the picture's upper left."""
    tones = colours(head.identity)
    surface = rings(head.identity, -1.0, 1.0, 1.0)
    x, y, z = surface.T
    seen = (z > 0) | (y > 0.25)
    if head.identity.hair_length >= BALD:
        temple = x / head.identity.head_width  # hair frames the forehead in an arch
        seen &= y > _hairline(head.identity) + 0.55 * np.abs(temple) ** 4
        seen &= (z > 0.25) | (y > -0.1)
    else:
        seen |= y < 0.25
    face = surface[seen] * [1, 1, 1]
    face[:, 1] = head.drop(face[:, 1])
    outline = _hull(head.project(face))
    canvas.fill(outline, tones.skin)
    part = canvas.part(outline)
    unit = head.scale
    across, down = head.rotation[:2, 0] * unit, head.rotation[:2, 1] * unit
    middle = head.on_face([-0.2, 0.0, 0.0], [-0.15, 0.1, 1.0])
    centre = head.centre + 0.1 * unit
    part.shade(centre + across * 0.95 + down * 0.25, across * 0.8, down * 1.5, tones.skin_shadow, 0.85)
    part.shade(middle[2], across * 0.8, down * 0.3, tones.skin_shadow, 0.45)
    part.shade(middle[0], across * 0.75, down * 0.75, tones.skin_light, 0.8)
    if head.identity.hair_length >= BALD:
        part.shade(head.on_face(0, _hairline(head.identity))[0], across * 0.8, down * 0.2, tones.skin_shadow, 0.55)
    features.shade_face(part, head, across, down)
    canvas.reveal(part, outline)


def _draw_fringe(canvas: Canvas, head: Head) -> None:
    """Two swept locks from the parting to the temples."""
    identity, tones = head.identity, colours(head.identity)
    if identity.hair_length < BALD:
        return
    root = 0.45 * identity.parting * identity.head_width
    top, bottom = _hairline(identity) - 0.12, -0.5 + 0.12 * identity.fringe
    for side, tone in ((-1, tones.hair), (1, mix(tones.hair, tones.hair_dark, 0.5))):
        temple = side * 0.93 * identity.head_width
        part = np.linspace(0, 1, 9)
        lower = head.on_face(
            root + (temple - root) * part,
            top + (bottom - top) * np.sin(part * np.pi / 2) ** 0.8 + 0.25 * part**3,
            0.06,
        )
        upper = head.on_face(root + (temple - root) * part[::-1], top - 0.05 + 0.3 * part[::-1] ** 2, 0.1)
        canvas.fill(np.concatenate([lower, upper]), tone)
        canvas.stroke(
            (2 * lower + upper[::-1]) / 3, 0.012 * np.sin(part * np.pi), mix(tone, tones.hair_light, 0.35)
        )


def _hairline(identity: Identity) -> float:
    """The height where the forehead ends."""
    return -0.68 + 0.16 * identity.fringe


def _hull(points: Points) -> Points:
    """The convex outline of points in the picture."""
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], dtype=np.float64)


def _circle(count: int) -> Points:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


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
