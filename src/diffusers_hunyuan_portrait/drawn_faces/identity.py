"""Who is drawn: the parameters of a person, of their clothes and of what is behind them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .parameters import names_of, scaled

IDENTITY_RANGES = {
    "head_width": (0.71, 0.84),
    "head_length": (0.93, 1.05),
    "jaw": (0.0, 1.0),
    "cheeks": (0.0, 1.0),
    "skin_tone": (0.0, 1.0),
    "skin_warmth": (0.0, 1.0),
    "hair_length": (0.0, 1.0),
    "hair_volume": (0.0, 1.0),
    "hair_colour": (0.0, 1.0),
    "fringe": (0.0, 1.0),
    "parting": (-1.0, 1.0),
    "brow_thickness": (0.0, 1.0),
    "brow_slant": (-1.0, 1.0),
    "eye_size": (0.0, 1.0),
    "eye_spacing": (0.0, 1.0),
    "eye_slant": (-1.0, 1.0),
    "eye_colour": (0.0, 1.0),
    "nose_length": (0.0, 1.0),
    "nose_width": (0.0, 1.0),
    "mouth_size": (0.0, 1.0),
    "lip_fullness": (0.0, 1.0),
    "lip_colour": (0.0, 1.0),
    "glasses": (0.0, 2.0),
    "neckline": (0.0, 1.0),
    "clothes_hue": (0.0, 0.85),
    "clothes_lightness": (0.0, 1.0),
    "background_hue": (0.0, 0.85),
    "background_lightness": (0.0, 1.0),
    "background_shape": (0.0, 1.0),
}

BALD = 0.1  # hair shorter than this is none at all


@dataclass(frozen=True)
class Identity:
    """One person. `IDENTITY_RANGES` gives each parameter's range.

    Args:
        head_width: half the head's width, in halves of an average head's height.
        head_length: the head's height, 1 being average.
        jaw: 0 pointed to 1 square.
        cheeks: 0 hollow to 1 full.
        skin_tone: 0 light to 1 dark.
        skin_warmth: 0 rosy to 1 golden.
        hair_length: below `BALD` none, 0.3 above the ears, 1 over the shoulders.
        hair_volume: 0 flat to 1 full.
        hair_colour: black, brown, auburn, blond, grey, in this order.
        fringe: how far hair falls into the forehead, 0 not at all to 1 almost to the brows.
        parting: where the hair is parted, -1 image-left to 1 image-right.
        brow_thickness: 0 thin to 1 thick.
        brow_slant: -1 outer ends low to 1 outer ends high.
        eye_size: 0 small to 1 large.
        eye_spacing: 0 close to 1 wide apart.
        eye_slant: -1 outer corners low to 1 outer corners high.
        eye_colour: brown, hazel, green, blue, grey, in this order.
        nose_length: 0 short to 1 long.
        nose_width: 0 narrow to 1 wide.
        mouth_size: 0 small to 1 large.
        lip_fullness: 0 thin to 1 full.
        lip_colour: 0 near the skin's to 1 red.
        glasses: 0 none, 1 round, 2 square.
        neckline: 0 up to the neck and round, 1 deep and pointed.
        clothes_hue: turn of the colour circle, from red over green to violet.
        clothes_lightness: 0 dark to 1 light.
        background_hue: as the clothes'.
        background_lightness: 0 dark to 1 light.
        background_shape: 0 plain to 1 a clear disc behind the head.
    """

    head_width: float
    head_length: float
    jaw: float
    cheeks: float
    skin_tone: float
    skin_warmth: float
    hair_length: float
    hair_volume: float
    hair_colour: float
    fringe: float
    parting: float
    brow_thickness: float
    brow_slant: float
    eye_size: float
    eye_spacing: float
    eye_slant: float
    eye_colour: float
    nose_length: float
    nose_width: float
    mouth_size: float
    lip_fullness: float
    lip_colour: float
    glasses: float
    neckline: float
    clothes_hue: float
    clothes_lightness: float
    background_hue: float
    background_lightness: float
    background_shape: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Identity":
        """Somebody drawn by lot: each parameter evenly from its range, but few are bald or wear glasses."""
        values = {name: float(rng.uniform(low, high)) for name, (low, high) in IDENTITY_RANGES.items()}
        values["hair_length"] = 0.0 if rng.random() < 0.1 else float(rng.uniform(0.25, 1))
        values["glasses"] = float(rng.choice([0, 1, 2], p=[0.6, 0.2, 0.2]))
        return cls(**values)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The parameters' names, in the order of `to_vector`."""
        return names_of(cls)

    def to_vector(self) -> NDArray[np.float32]:
        """(n,) float32, each range as [-1, 1]."""
        return scaled(self, IDENTITY_RANGES)
