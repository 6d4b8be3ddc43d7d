"""Eyes, brows, nose, mouth, ears and glasses: where they are on the head, and how they are drawn."""

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Points
from .colours import BLACK, TEETH, THROAT, TONGUE, WHITE, colours, mix
from .head import Head, half_width
from .identity import BALD

EYE_HEIGHT = 0.03  # the eyes' line, below the head's centre
SIDES = (-1, 1)  # image-left, image-right, for a head seen from the front

_RUN = np.linspace(-1, 1, 15)  # along a lid or a lip, from image-left to image-right
_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_RING = np.stack([np.cos(_TURN), np.sin(_TURN)])  # (xy, n)


def eye_centres(head: Head) -> Points:
    """The middles of the eyes' openings, (2, 2)."""
    return np.concatenate([head.on_face(side * _eye_place(head), EYE_HEIGHT) for side in SIDES])


def nose_tip(head: Head) -> Points:
    """The tip of the nose, (1, 2)."""
    return head.on_face(0, _nose_height(head), 0.26)


def mouth_corners(head: Head) -> Points:
    """The corners of the mouth, (2, 2)."""
    half, middle, corner = _mouth_shape(head)
    return head.on_face(half * np.array(SIDES), middle - corner)


def shade_face(canvas: Canvas, head: Head, across: NDArray[np.float64], down: NDArray[np.float64]) -> None:
    """Eye sockets, cheeks and the hollow below the lips; `across` and `down` are the head's unit axes, (2,)."""
    tones = colours(head.identity)
    for side in SIDES:
        socket = head.on_face(side * _eye_place(head), EYE_HEIGHT - 0.06)[0]
        canvas.shade(socket, across * 0.34, down * 0.26, tones.skin_shadow, 0.5)
        cheek = head.on_face(side * 0.45, 0.36 - 0.04 * head.motion.smile)[0]
        canvas.shade(cheek, across * 0.26, down * 0.22, tones.blush, 0.4 + 0.15 * head.motion.smile)
    half, middle, _ = _mouth_shape(head)
    hollow = head.on_face(0, middle + 0.2 + 0.2 * head.motion.jaw)[0]
    canvas.shade(hollow, across * half, down * 0.1, tones.skin_shadow, 0.6)


def draw_ears(canvas: Canvas, head: Head) -> None:
    """One on each side; long hair is drawn over them."""
    tones = colours(head.identity)
    for side in SIDES:
        middle = np.array([side * head.identity.head_width * 1.0, 0.1, -0.08])
        for size, tone in ((1.0, tones.skin), (0.62, tones.skin_shadow)):
            x = size * _RING[0] * 0.13
            places = np.stack([side * (0.02 + x * 0.75), size * 0.2 * _RING[1] - 0.1 * x * side, -0.6 * x], axis=1)
            canvas.fill(head.project(middle + places), tone)


def draw_brows(canvas: Canvas, head: Head) -> None:
    """Two tapered arcs."""
    identity, motion = head.identity, head.motion
    thickness = head.scale * (0.055 + 0.05 * identity.brow_thickness)
    for side in SIDES:
        run = side * _RUN[::side]  # from the inner end, -1, to the outer one, 1
        x = side * (_eye_place(head) + 0.015 + 0.225 * run)
        lowered = max(-motion.brows, 0)
        y = (
            EYE_HEIGHT
            - 0.245
            - 0.11 * motion.brows
            - (0.045 + 0.03 * motion.brows) * (1 - run**2)
            - 0.03 * identity.brow_slant * run
            - 0.05 * lowered * run
        )
        taper = np.clip(1.15 - 0.5 * (run + 1) / 2 - 0.6 * np.abs(run) ** 6, 0.15, 1)
        canvas.stroke(head.on_face(x, y, 0.03), thickness * taper, colours(identity).brow)


def draw_eyes(canvas: Canvas, head: Head) -> None:
    """The balls behind their lids, with lashes and the light in them."""
    identity, motion, tones = head.identity, head.motion, colours(head.identity)
    half, height = _eye_shape(head)
    lower = 0.62 * height * (1 - np.abs(_RUN) ** 2.2)
    open_lid = -height * (1 - np.abs(_RUN) ** 2.4)
    closed_lid = 0.45 * height * (1 - np.abs(_RUN) ** 2.2)
    upper = closed_lid + (open_lid - closed_lid) * motion.eyelids
    radius = 0.78 * height
    gaze = np.array([0.5 * half * motion.gaze_x, 0.42 * height * motion.gaze_y - 0.1 * height])
    for side in SIDES:
        lids = np.concatenate(
            [_around_eye(head, side, _RUN, upper), _around_eye(head, side, _RUN, np.maximum(lower, upper))[::-1]]
        )
        part = canvas.part(lids)
        part.fill(lids, mix(WHITE, tones.skin_shadow, 0.06))
        for size, tone in ((1.0, tones.iris * 0.45), (0.86, tones.iris), (0.5, BLACK)):
            part.fill(_around_eye(head, side, *_disc(gaze, size * radius, half)), tone)
        shadow = _around_eye(head, side, _RUN, upper + 0.12 * height)
        part.stroke(shadow, head.scale * 0.16 * height, tones.skin_shadow * 0.8)
        part.fill(
            _around_eye(head, side, *_disc(gaze + [-0.3 * radius, -0.35 * radius], 0.26 * radius, half)), WHITE
        )
        canvas.reveal(part, lids)
        lash = _around_eye(head, side, 1.06 * _RUN, upper)
        outer = np.clip(0.75 + 0.35 * side * _RUN, 0.4, 1.1)
        canvas.stroke(lash, head.scale * 0.05 * outer, mix(BLACK, tones.skin_line, 0.15))
        canvas.stroke(_around_eye(head, side, _RUN, lower + 0.01), head.scale * 0.016, tones.skin_line)
        crease = _around_eye(head, side, 0.95 * _RUN, np.minimum(open_lid - 0.055, upper - 0.05))
        canvas.stroke(crease, head.scale * 0.02 * (1 - 0.7 * _RUN**2), tones.skin_line)


def draw_nose(canvas: Canvas, head: Head) -> None:
    """Bridge, tip and nostrils; they stand out, so that a turned head shows its profile."""
    identity, tones = head.identity, colours(head.identity)
    tip = _nose_height(head)
    wide = 0.105 + 0.055 * identity.nose_width
    t = np.linspace(0, 1, 8)
    ridge = 0.05 + 0.21 * t**1.4
    heights = EYE_HEIGHT + 0.02 + (tip - EYE_HEIGHT - 0.02) * t
    flank = 0.035 + (wide - 0.035) * t**2.2
    shaded = np.concatenate(
        [head.on_face(0.012 * t, heights, ridge), head.on_face(flank, heights + 0.04 * t, 0.03)[::-1]]
    )
    canvas.fill(shaded, mix(tones.skin, tones.skin_shadow, 0.75))
    base = np.linspace(-1, 1, 13)
    bulge = 1 - base**2
    under = np.concatenate(
        [
            head.on_face(wide * base, tip + 0.035 + 0.03 * bulge, 0.03 + 0.2 * bulge),
            head.on_face(wide * base[::-1], tip + 0.075 + 0.045 * bulge, 0.02 + 0.05 * bulge),
        ]
    )
    canvas.fill(under, tones.skin_shadow)
    for side in SIDES:
        nostril = head.on_face(side * 0.5 * wide + 0.045 * _RING[0], tip + 0.075 + 0.022 * _RING[1], 0.08)
        canvas.fill(nostril, tones.skin_line)
    across, down = head.rotation[:2, 0] * head.scale, head.rotation[:2, 1] * head.scale
    canvas.shade(head.on_face(-0.02, tip - 0.03, 0.24)[0], across * 0.1, down * 0.1, tones.skin_light, 0.9)
    canvas.shade(
        head.on_face(-0.02, (tip + EYE_HEIGHT) / 2, 0.14)[0], across * 0.06, down * 0.22, tones.skin_light, 0.7
    )


def draw_mouth(canvas: Canvas, head: Head) -> None:
    """Lips about an opening with teeth, tongue and the dark behind them."""
    identity, motion, tones = head.identity, head.motion, colours(head.identity)
    half, middle, corner = _mouth_shape(head)
    arch = 1 - np.abs(_RUN) ** 2.2
    line = middle + corner * (0.35 - 1.35 * _RUN**2)  # a smile lowers its middle, and its ends lie at -corner
    full = (0.055 + 0.05 * identity.lip_fullness) * (1 - 0.25 * motion.mouth_width)
    bow = 1 - 0.25 * np.exp(-((_RUN / 0.16) ** 2))
    upper_in, lower_in = line - 0.03 * motion.jaw * arch, line + 0.25 * motion.jaw * arch
    upper_out, lower_out = upper_in - full * arch**0.8 * bow, lower_in + 1.25 * full * arch**0.8
    x = half * _RUN

    def between(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> Points:
        return np.concatenate([head.on_face(x, top, 0.03), head.on_face(x, bottom, 0.03)[::-1]])

    opening = between(upper_in, lower_in)
    part = canvas.part(opening)
    part.fill(opening, THROAT)
    part.fill(between(np.maximum(lower_in - 0.09 * arch, line + 0.05), lower_in + 0.02), TONGUE)
    part.fill(between(upper_in - 0.02, upper_in + 0.085 * arch), TEETH)
    canvas.fill(between(lower_in, lower_out), tones.lips)
    canvas.reveal(part, opening)
    canvas.fill(between(upper_out, upper_in), tones.lips * 0.86)
    canvas.stroke(head.on_face(1.04 * x, line, 0.03), head.scale * 0.022 * (1 - motion.jaw), tones.lips * 0.45)
    gloss = head.on_face(0.5 * x, (lower_in * 1.2 + lower_out * 0.8) / 2, 0.04)
    canvas.stroke(gloss, head.scale * 0.35 * full * (1 - _RUN**2), tones.lips_light)
    for side in SIDES:
        fold = head.on_face(side * (half + 0.035 + 0.02 * _RUN), middle - corner + 0.05 * _RUN, 0.0)
        canvas.stroke(fold, head.scale * 0.02 * (1 - _RUN**2), mix(tones.skin, tones.skin_line, 0.6))


def draw_glasses(canvas: Canvas, head: Head) -> None:
    """Round or square ones before the eyes, with their arms."""
    kind = head.identity.glasses
    if kind < 0.5:
        return
    power = 2.0 if kind < 1.5 else 5.0
    ring = np.sign(_RING) * np.abs(_RING) ** (2 / power)
    ring = np.concatenate([ring, ring[:, :2]], axis=1)  # closed, and over its own start
    half, width = _eye_place(head), head.scale * 0.032
    frame = np.array([38.0, 32, 36])
    for side in SIDES:
        x, y = side * (half + 0.01) + 0.25 * ring[0], EYE_HEIGHT + 0.02 + 0.225 * ring[1]
        canvas.stroke(head.on_face(x, y, 0.1), width, frame)
        arm = np.linspace(0, 1, 4)
        start = half + 0.26
        places = np.stack(
            [
                side * (start + (head.identity.head_width * 1.02 - start) * arm),
                EYE_HEIGHT - 0.02 * arm,
                0.62 - 0.6 * arm,
            ],
            axis=1,
        )
        if side * head.motion.yaw < 12:  # the far arm is hidden by the head
            canvas.stroke(head.project(places), width, frame)
    canvas.stroke(head.on_face(np.linspace(0.25 - half, half - 0.25, 5), EYE_HEIGHT - 0.02, 0.16), width, frame)


def _eye_place(head: Head) -> float:
    """How far each eye is from the face's middle."""
    return 0.285 + 0.05 * head.identity.eye_spacing


def _eye_shape(head: Head) -> tuple[float, float]:
    """Half the width of an eye, and the height of the upper lid above its middle."""
    size = 0.9 + 0.25 * head.identity.eye_size
    return 0.175 * size, 0.118 * size


def _around_eye(head: Head, side: int, along: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    """Places about an eye: `along` it in halves of its width, and `y` below its middle."""
    half, _ = _eye_shape(head)
    tilt = -0.03 * head.identity.eye_slant * side * along
    return head.on_face(side * _eye_place(head) + half * along, EYE_HEIGHT + y + tilt, 0.01)


def _disc(
    centre: NDArray[np.float64], radius: float, half: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A disc as `_around_eye` takes it."""
    return (centre[0] + radius * _RING[0]) / half, centre[1] + radius * _RING[1]


def _nose_height(head: Head) -> float:
    return 0.31 + 0.08 * head.identity.nose_length


def _mouth_shape(head: Head) -> tuple[float, float, float]:
    """Half the mouth's width, the height of its middle, and how far above that its corners are."""
    identity, motion = head.identity, head.motion
    half = (0.24 + 0.05 * identity.mouth_size) * (1 + 0.3 * motion.mouth_width) * (1 - 0.12 * motion.jaw)
    return half, 0.615, 0.075 * motion.smile
