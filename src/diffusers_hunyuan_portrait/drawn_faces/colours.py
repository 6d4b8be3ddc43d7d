"""The colours of somebody who is drawn."""

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .canvas import Colour
from .identity import Identity

WHITE = np.array([250.0, 249, 246])
BLACK = np.array([18.0, 14, 16])
FRAME = np.array([38.0, 32, 36])
TEETH = np.array([246.0, 242, 232])
THROAT = np.array([66.0, 18, 24])
TONGUE = np.array([196.0, 92, 96])

_ROSY_SKIN = [(255, 224, 216), (240, 186, 172), (198, 128, 112), (130, 76, 70)]
_GOLDEN_SKIN = [(255, 231, 196), (240, 198, 146), (198, 140, 84), (132, 86, 46)]
_HAIR = [(30, 24, 26), (84, 52, 34), (152, 72, 36), (222, 176, 98), (176, 174, 176)]
_IRIS = [(92, 54, 30), (140, 104, 48), (78, 138, 76), (60, 120, 190), (128, 146, 160)]
_RED_LIPS = np.array([196.0, 44, 62])


class Colours(NamedTuple):
    """All that follow from the identity."""

    skin: Colour
    skin_light: Colour
    skin_shadow: Colour
    skin_line: Colour
    neck_shadow: Colour
    hair: Colour
    hair_light: Colour
    hair_dark: Colour
    brow: Colour
    lash: Colour
    iris: Colour
    lips: Colour
    lips_light: Colour
    blush: Colour
    clothes: Colour
    clothes_dark: Colour
    clothes_light: Colour
    background: Colour
    background_light: Colour
    background_dark: Colour


@lru_cache(maxsize=256)
def colours(identity: Identity) -> Colours:
    """The colours of `identity`."""
    rosy, golden = (_along(path, identity.skin_tone) for path in (_ROSY_SKIN, _GOLDEN_SKIN))
    skin = mix(rosy, golden, identity.skin_warmth)
    hair = _along(_HAIR, identity.hair_colour)
    lips = mix(mix(skin, np.array([172.0, 60, 66]), 0.55), _RED_LIPS, 0.75 * identity.lip_colour)
    clothes = _hued(identity.clothes_hue, 0.22 + 0.55 * identity.clothes_lightness, 0.42)
    background = _hued(identity.background_hue, 0.42 + 0.38 * identity.background_lightness, 0.3)
    return Colours(
        skin=skin,
        skin_light=mix(skin, np.array([255.0, 246, 232]), 0.4),
        skin_shadow=skin * [0.74, 0.64, 0.62],
        skin_line=skin * [0.52, 0.40, 0.38],
        neck_shadow=skin * [0.58, 0.46, 0.45],
        hair=hair,
        hair_light=mix(hair, np.array([255.0, 240, 220]), 0.4),
        hair_dark=hair * 0.62,
        brow=mix(hair * 0.6, BLACK, 0.35),
        lash=mix(BLACK, skin * 0.45, 0.15),
        iris=_along(_IRIS, identity.eye_colour),
        lips=lips,
        lips_light=mix(lips, WHITE, 0.25),
        blush=mix(skin, np.array([226.0, 82, 74]), 0.5),
        clothes=clothes,
        clothes_dark=clothes * 0.66,
        clothes_light=mix(clothes, WHITE, 0.35),
        background=background,
        background_light=mix(background, WHITE, 0.5),
        background_dark=background * 0.68,
    )


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """From `first` (0) to `second` (1)."""
    return first + (second - first) * part


def _along(path: Sequence[tuple[int, int, int]], place: float) -> Colour:
    """The colour at `place`, 0 to 1, of a path through several."""
    stops = np.linspace(0, 1, len(path))
    return np.array([np.interp(place, stops, channel) for channel in zip(*path, strict=True)])


def _hued(hue: float, lightness: float, saturation: float) -> Colour:
    return 255 * np.array(colorsys.hls_to_rgb(hue, lightness, saturation))
