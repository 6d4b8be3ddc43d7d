"""Eyes, brows, nose, mouth, ears and glasses: where they are on the head, and how they are drawn."""

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Points, Spot, strokes
from .colours import BLACK, FRAME, TEETH, THROAT, TONGUE, WHITE, mix
from .head import Head

EYE_HEIGHT = 0.03  # the eyes' line, below the head's centre
SIDES = (-1, 1)  # image-left and image-right, for a head seen from the front

_RUN = np.linspace(-1, 1, 15)  # along a lid or a lip, from image-left to image-right
_CENTRAL = slice(4, 11)  # of it
_CREASE = 0.02 * (1 - 0.7 * _RUN**2)  # widths along the fold above an eye
_LASHES = 0.05 * np.clip(0.75 + 0.35 * np.outer(SIDES, _RUN), 0.4, 1.1)  # and along the two upper lids
_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_RING = np.stack([np.cos(_TURN), np.sin(_TURN)])  # (xy, n)

Curve = tuple[NDArray[np.float64], NDArray[np.float64], float]


def eye_centres(head: Head) -> Points:
    """The middles of the eyes' openings, (2, 2)."""
    (points,) = head.on_face((_eye_place(head) * np.array(SIDES), EYE_HEIGHT, 0))
    return points


def nose_tip(head: Head) -> Points:
    """The tip of the nose, (1, 2)."""
    (points,) = head.on_face((0, _nose_height(head), 0.26))
    return points


def mouth_corners(head: Head) -> Points:
    """The corners of the mouth, (2, 2)."""
    half, middle, corner = _mouth_shape(head)
    (points,) = head.on_face((half * np.array(SIDES), middle - corner, 0.03))
    return points


def face_shades(head: Head) -> list[Spot]:
    """Eye sockets, cheeks and the hollow below the lips, as spots on the skin."""
    tones, smile = head.colours, head.motion.smile
    half, middle, _ = _mouth_shape(head)
    (places,) = head.on_face(
        (
            [-_eye_place(head), _eye_place(head), -0.45, 0.45, 0],
            [EYE_HEIGHT - 0.06, EYE_HEIGHT - 0.06, 0.36 - 0.04 * smile, 0.36 - 0.04 * smile, middle + 0.2],
            0,
        )
    )
    sockets = [Spot(place, head.across * 0.34, head.down * 0.26, tones.skin_shadow, 0.5) for place in places[:2]]
    cheeks = [
        Spot(place, head.across * 0.27, head.down * 0.22, tones.blush, 0.4 + 0.15 * smile) for place in places[2:4]
    ]
    return [*sockets, *cheeks, Spot(places[4], head.across * half, head.down * 0.1, tones.skin_shadow, 0.6)]


def draw_ears(canvas: Canvas, head: Head) -> None:
    """Both ears, of which the head then hides a part."""
    shells, hollows = zip(*(_ear(head, side) for side in SIDES), strict=True)
    canvas.fill(head.colours.skin, *shells)
    canvas.fill(head.colours.skin_shadow, *hollows)


def draw_near_ear(canvas: Canvas, head: Head) -> None:
    """The ear that a turned head shows before its cheek, unless hair covers it."""
    side = -1 if head.motion.yaw > 0 else 1
    uncovered = min(max((0.5 - head.identity.hair_length) / 0.15, 0), 1)
    seen = min(abs(head.motion.yaw) / 12, 1) * uncovered
    if seen:
        shell, hollow = _ear(head, side)
        part = canvas.part(shell)
        part.fill_all(mix(head.colours.skin, head.colours.skin_shadow, 0.25))
        part.fill(head.colours.skin_shadow, hollow)
        canvas.reveal(part, seen)


def _ear(head: Head, side: int) -> tuple[Points, Points]:
    """The outline of an ear and of its hollow."""
    middle = np.array([side * head.identity.head_width, 0.1, -0.12])
    x, y = _RING
    shell = np.stack([side * (0.02 + 0.1 * x), 0.2 * y - 0.013 * x * side, -0.09 * x], axis=1)
    return head.project(middle + shell), head.project(middle + 0.6 * shell)


def draw_brows(canvas: Canvas, head: Head) -> None:
    """Two tapered arcs."""
    identity, raised = head.identity, head.motion.brows
    thickness = head.scale * (0.055 + 0.05 * identity.brow_thickness)
    run = _RUN  # from the inner end, -1, to the outer one, 1
    x = _eye_place(head) + 0.015 + 0.225 * run
    arch = EYE_HEIGHT - 0.245 - 0.11 * raised - (0.045 + 0.03 * raised) * (1 - run**2)
    y = arch - 0.03 * identity.brow_slant * run - 0.05 * max(-raised, 0) * run
    taper = np.clip(1.15 - 0.5 * (run + 1) / 2 - 0.6 * np.abs(run) ** 6, 0.15, 1)
    brows = head.on_face(*((side * x, y, 0.03) for side in SIDES))
    canvas.fill(head.colours.brow, *strokes(brows, thickness * taper))


def draw_eyes(canvas: Canvas, head: Head) -> None:
    """The balls behind their lids, with lashes and the light in them."""
    motion, tones = head.motion, head.colours
    half, height = _eye_shape(head)
    arch = 1 - np.abs(_RUN) ** 2.3
    lower, highest, lowest = 0.62 * height * arch, -height * arch, 0.45 * height * arch
    upper = lowest + (highest - lowest) * motion.eyelids
    radius = 0.78 * height
    gaze = np.array([0.5 * half * motion.gaze_x, 0.55 * height * motion.gaze_y - 0.1 * height])
    glint = gaze - [0.3 * radius, 0.35 * radius]
    curves = []
    for side in SIDES:
        curves += [
            *(_about_eye(head, side, *_disc(gaze, size * radius, half)) for size in (1.0, 0.86, 0.5)),
            _about_eye(head, side, *_disc(glint, 0.26 * radius, half)),
            _about_eye(head, side, _RUN, upper + 0.12 * height),
            _about_eye(head, side, _RUN, upper),
            _about_eye(head, side, _RUN, np.maximum(lower, upper)),
            _about_eye(head, side, 1.06 * _RUN, upper),
            _about_eye(head, side, 0.95 * _RUN, np.minimum(highest - 0.055, upper - 0.05)),
        ]
    places = head.on_face(*curves)
    # Each is a pair, of the left eye and of the right one: one stroke draws both.
    irises, rings, pupils, lights, shadows, tops, bottoms, lashes, creases = zip(
        places[:9], places[9:], strict=True
    )
    part = canvas.part(*(np.concatenate([top, bottom[::-1]]) for top, bottom in zip(tops, bottoms, strict=True)))
    part.fill_all(mix(WHITE, tones.skin_shadow, 0.06))
    part.fill(tones.iris * 0.45, *irises)
    part.fill(tones.iris, *rings)
    part.fill(BLACK, *pupils)
    part.fill(tones.skin_shadow * 0.8, *strokes(shadows, head.scale * 0.16 * height))
    part.fill(WHITE, *lights)
    canvas.reveal(part)
    thin, fading = strokes(bottoms, head.scale * 0.016), strokes(creases, head.scale * _CREASE)
    canvas.fill(tones.skin_line, *thin, *fading)
    canvas.fill(tones.lash, *strokes(lashes, head.scale * _LASHES))


def draw_nose(canvas: Canvas, head: Head) -> None:
    """Bridge, tip and nostrils; they stand out, so that a turned head shows its profile."""
    tones, tip = head.colours, _nose_height(head)
    wide = 0.105 + 0.055 * head.identity.nose_width
    top = EYE_HEIGHT + 0.02
    t = np.linspace(0, 1, 8)
    flank = 0.035 + (wide - 0.035) * t**2.2
    bulge = 1 - _RUN**2
    ridge, side, above, below, left, right, lights = head.on_face(
        (0.012 * t, top + (tip - top) * t, 0.05 + 0.21 * t**1.4),
        (flank, top + (tip - top + 0.04) * t, 0.03),
        (wide * _RUN, tip + 0.035 + 0.03 * bulge, 0.03 + 0.2 * bulge),
        (wide * _RUN, tip + 0.075 + 0.045 * bulge, 0.02 + 0.05 * bulge),
        *((s * 0.5 * wide + 0.045 * _RING[0], tip + 0.075 + 0.022 * _RING[1], 0.08) for s in SIDES),
        (-0.02, [tip - 0.03, (tip + EYE_HEIGHT) / 2], [0.24, 0.14]),
    )
    canvas.fill(mix(tones.skin, tones.skin_shadow, 0.75), np.concatenate([ridge, side[::-1]]))
    canvas.fill(tones.skin_shadow, np.concatenate([above, below[::-1]]))
    canvas.fill(tones.skin_line, left, right)
    canvas.shade(Spot(lights[0], head.across * 0.1, head.down * 0.1, tones.skin_light, 0.9))
    canvas.shade(Spot(lights[1], head.across * 0.06, head.down * 0.22, tones.skin_light, 0.7))


def draw_mouth(canvas: Canvas, head: Head) -> None:
    """Lips about an opening with teeth, tongue and the dark behind them."""
    motion, tones = head.motion, head.colours
    half, middle, corner = _mouth_shape(head)
    arch = (1 - np.abs(_RUN) ** 2.4) ** 0.8
    line = middle + corner * (0.35 - 1.35 * _RUN**2)  # a smile lowers its middle, and its ends lie at -corner
    full = (0.055 + 0.05 * head.identity.lip_fullness) * (1 - 0.3 * motion.mouth_width)
    bow = 1 - 0.25 * np.exp(-((_RUN / 0.16) ** 2))
    inner_top, inner_bottom = line - 0.03 * motion.jaw * arch, line + 0.19 * motion.jaw * arch
    x, fold = half * _RUN, half + 0.05 + 0.02 * _RUN
    heights = (
        *(inner_top - full * arch * bow, inner_top, inner_top + 0.075 * arch),
        *(np.maximum(inner_bottom - 0.07 * arch, line + 0.05), inner_bottom, inner_bottom + 1.25 * full * arch),
    )
    outer_top, top, teeth, tongue, bottom, outer_bottom, seam, gloss, *folds = head.on_face(
        *((x, y, 0.03) for y in heights),
        (1.04 * x, line, 0.03),
        (x[_CENTRAL] * 0.9, (inner_bottom + 0.55 * full * arch)[_CENTRAL], 0.03),
        *((side * fold, middle - corner + 0.05 * _RUN, 0) for side in SIDES),
    )
    opening = np.concatenate([top, bottom[::-1]])
    part = canvas.part(opening)
    part.fill_all(THROAT)
    part.fill(TONGUE, np.concatenate([tongue, bottom[::-1]]))
    part.fill(TEETH, np.concatenate([top, teeth[::-1]]))
    canvas.fill(tones.lips, np.concatenate([bottom, outer_bottom[::-1]]))
    canvas.reveal(part)
    canvas.fill(tones.lips * 0.86, np.concatenate([outer_top, top[::-1]]))
    canvas.fill(tones.lips * 0.45, *strokes([seam], head.scale * 0.022 * (1 - motion.jaw)))
    canvas.fill(tones.lips_light, *strokes([gloss], head.scale * 0.35 * full * (1 - (_RUN[_CENTRAL] * 2) ** 2)))
    canvas.fill(mix(tones.skin, tones.skin_line, 0.6), *strokes(folds, head.scale * 0.02 * (1 - _RUN**2)))


def draw_glasses(canvas: Canvas, head: Head) -> None:
    """Round or square ones before the eyes, with their arms."""
    kind, yaw = head.identity.glasses, head.motion.yaw
    if kind < 0.5:
        return
    ring = np.sign(_RING) * np.abs(_RING) ** (1.0 if kind < 1.5 else 0.4)
    half, thickness = _eye_place(head) + 0.01, 0.032
    *rims, bridge = head.on_face(
        *(
            (side * half + (0.25 + grown) * ring[0], EYE_HEIGHT + 0.02 + (0.225 + grown) * ring[1], 0.1)
            for side in SIDES
            for grown in (-thickness / 2, thickness / 2)
        ),
        (np.linspace(0.25 - half, half - 0.25, 5), EYE_HEIGHT - 0.02, 0.16),
    )
    bars = []
    for side in SIDES:
        seen = min(max(1 - side * yaw / 20, 0), 1)  # the head hides the far arm
        if seen:
            hinge = np.array([side * (half + 0.25), EYE_HEIGHT, 0.62])
            ear = np.array([side * head.identity.head_width, EYE_HEIGHT, 0.0])
            bars.append(head.project(hinge + (ear - hinge) * seen * np.linspace(0, 1, 4)[:, None]))
    canvas.fill(FRAME, *rims)
    canvas.fill(FRAME, *strokes([bridge], head.scale * thickness), *strokes(bars, head.scale * thickness))


def _eye_place(head: Head) -> float:
    """How far each eye is from the face's middle."""
    return 0.285 + 0.05 * head.identity.eye_spacing


def _eye_shape(head: Head) -> tuple[float, float]:
    """Half the width of an eye, and the height of the open upper lid above its middle."""
    size = 0.9 + 0.25 * head.identity.eye_size
    return 0.175 * size, 0.125 * size


def _about_eye(head: Head, side: int, along: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    """A curve about an eye: `along` it in halves of its width, and `y` below its middle."""
    half, _ = _eye_shape(head)
    tilt = -0.03 * head.identity.eye_slant * side * along
    return side * _eye_place(head) + half * along, EYE_HEIGHT + y + tilt, 0.01


def _disc(
    centre: NDArray[np.float64], radius: float, half: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A disc as `_about_eye` takes it."""
    return (centre[0] + radius * _RING[0]) / half, centre[1] + radius * _RING[1]


def _nose_height(head: Head) -> float:
    return 0.31 + 0.08 * head.identity.nose_length


def _mouth_shape(head: Head) -> tuple[float, float, float]:
    """Half the mouth's width, the height of its middle, and how far above that its corners are."""
    identity, motion = head.identity, head.motion
    half = (0.24 + 0.05 * identity.mouth_size) * (1 + 0.36 * motion.mouth_width) * (1 - 0.12 * motion.jaw)
    return half, 0.615, 0.075 * motion.smile
