"""What is refused for its size alone, against slips of the keyboard and forged files.

Each limit is a variable of the environment, for who has the memory and means it.
"""

import os

from .errors import UserError

_PREFIX = "HUNYUAN_PORTRAIT_MAX_"
_DEFAULTS = {
    "MEGAPIXELS": 100,  # of a picture: above every camera in a telephone, far below what forged headers ask for
    "FRAMES": 30_000,  # of a run: 20 minutes, for which motion tokens and latents take 10 GB
    "CLIP_MEGABYTES": 2_000,  # of a training clip, packed or not: ten times 10 seconds at 512×512
}


def limit(name: str) -> int:
    """The most that there may be of "MEGAPIXELS", "FRAMES" or "CLIP_MEGABYTES".

    Raises:
        UserError: the variable holds no positive whole number.
    """
    text = os.environ.get(_PREFIX + name, str(_DEFAULTS[name]))
    if not text.isdecimal() or not int(text):
        raise UserError(f"{_PREFIX}{name} is {text!r}; it must be a whole number from 1 up.")
    return int(text)


def check_frames(count: int) -> None:
    """Raise `UserError` where a run of so many frames is refused."""
    if count > limit("FRAMES"):
        raise UserError(
            f"The run would have {count:,} frames, of which {limit('FRAMES'):,} may be; take a shorter part of "
            f"the driving clip, or set {_PREFIX}FRAMES."
        )


def check_pixels(width: int, height: int, name: str) -> None:
    """Raise `UserError` where a picture of this size is refused; `name` is what the sentence calls it."""
    most = limit("MEGAPIXELS")
    if width * height > most * 1_000_000:
        raise UserError(
            f"{name} has {width}x{height} pixels, {width * height / 1e6:.0f} megapixels; scale it down to at most "
            f"{most} megapixels, or set {_PREFIX}MEGAPIXELS."
        )


def check_clip_bytes(count: int) -> None:
    """Raise `UserError` where a training clip, or its video as pictures, is refused for so many bytes."""
    most = limit("CLIP_MEGABYTES")
    if count > most * 1_000_000:
        raise UserError(
            f"A training clip would take more than {most:,} MB of memory; cut it into shorter ones, or set "
            f"{_PREFIX}CLIP_MEGABYTES."
        )
