"""What videos are written as: each codec's encoder, the files that hold it, and how its quality is told."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

# Whatever FFmpeg calls the format of files with this ending.
FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".gif": "gif",
    ".webp": "webp",
}
PICTURES = "png"  # the codec whose output is a folder


@dataclass(frozen=True)
class Codec:
    """How one codec is written.

    Args:
        encoder, pixels: FFmpeg's names of the encoder, and of the pixels it is given.
        suffixes: of the files that may hold it.
        quality: the number used unless another is given; `None` where there is nothing to choose.
        worst, best: the ends of its scale.
        options: the encoder's, for a quality and for whether frames carry their own times.
        has_sound: whether its files can have any.
        has_matrix: whether colours are stored by a matrix, which tags are to name.
        ticks: of a second, where the format has a fixed number; `None` where times are free.
    """

    encoder: str
    pixels: str
    suffixes: tuple[str, ...]
    quality: int | None
    worst: int
    best: int
    options: Callable[[int | None, bool], dict[str, str]]
    has_sound: bool = True
    has_matrix: bool = True
    ticks: int | None = None


def _x264(quality: int | None, own_times: bool) -> dict[str, str]:
    # With frames out of order a file could not hold the length of the last one.
    return {"crf": str(quality)} | ({"bf": "0"} if own_times else {})


def _x265(quality: int | None, own_times: bool) -> dict[str, str]:
    parameters = ["log-level=error", *(["bframes=0"] if own_times else [])]
    return {"crf": str(quality), "x265-params": ":".join(parameters)}


def _svt(quality: int | None, own_times: bool) -> dict[str, str]:
    os.environ.setdefault("SVT_LOG", "1")  # errors alone: it writes to the terminal by itself
    return {"crf": str(quality), "preset": "8"}


def _vp9(quality: int | None, own_times: bool) -> dict[str, str]:
    return {"crf": str(quality), "b": "0", "row-mt": "1", "cpu-used": "3"}


CODECS = {
    "h264": Codec("libx264", "yuv420p", (".mp4", ".m4v", ".mov", ".mkv"), 17, 51, 0, _x264),
    "h265": Codec("libx265", "yuv420p", (".mp4", ".m4v", ".mov", ".mkv"), 20, 51, 0, _x265),
    "av1": Codec("libsvtav1", "yuv420p", (".mp4", ".mkv", ".webm"), 24, 63, 1, _svt),
    "vp9": Codec("libvpx-vp9", "yuv420p", (".webm", ".mkv", ".mp4"), 24, 63, 0, _vp9),
    "prores": Codec(
        "prores_ks",
        "yuv422p10le",
        (".mov", ".mkv"),
        None,
        0,
        0,
        lambda quality, own: {"profile": "hq", "vendor": "apl0"},
    ),
    "gif": Codec(
        "gif",
        "pal8",
        (".gif",),
        None,
        0,
        0,
        lambda quality, own: {},
        has_sound=False,
        has_matrix=False,
        ticks=100,
    ),
    "webp": Codec(
        "libwebp_anim",
        "bgra",
        (".webp",),
        90,
        0,
        100,
        lambda quality, own: {"quality": str(quality), "compression_level": "4"},
        has_sound=False,
        has_matrix=False,
        ticks=1000,
    ),
}
NAMES = (*CODECS, PICTURES)


def choose_codec(path: Path, name: str | None = None) -> str:
    """The name of the codec of a file to be: the one asked for, or the usual one of its ending.

    Raises:
        UserError: there is no such codec, no such ending, or the one does not go into the other.
    """
    if name is not None and name not in NAMES:
        raise UserError(f"There is no codec {name!r}; choose one of {', '.join(NAMES)}.")
    suffix = path.suffix.lower()
    if name == PICTURES:
        if suffix in FORMATS:
            raise UserError(f"PNG pictures go into a folder, so {path} cannot end in {suffix}.")
        return name
    if suffix not in FORMATS:
        raise UserError(
            f"The output {path} does not end in a video format that can be written; "
            f"use one of {', '.join(FORMATS)}."
        )
    if name is None:
        return next(codec for codec, facts in CODECS.items() if suffix in facts.suffixes and codec != "av1")
    if suffix not in CODECS[name].suffixes:
        raise UserError(
            f"The codec {name} does not go into a {suffix} file; use one of {', '.join(CODECS[name].suffixes)}."
        )
    return name


def choose_quality(name: str, quality: int | None) -> int | None:
    """The quality of a codec: the one asked for, or its own.

    Raises:
        UserError: the codec has no such quality.
    """
    if name == PICTURES:
        if quality is not None:
            raise UserError("PNG pictures lose nothing, so there is no quality to choose.")
        return None
    codec = CODECS[name]
    if quality is None:
        return codec.quality
    if codec.quality is None:
        raise UserError(f"The codec {name} has no quality to choose.")
    if not min(codec.worst, codec.best) <= quality <= max(codec.worst, codec.best):
        raise UserError(
            f"The quality of {name} goes from {codec.worst}, the worst, to {codec.best}, the best; it cannot be "
            f"{quality}."
        )
    return quality
