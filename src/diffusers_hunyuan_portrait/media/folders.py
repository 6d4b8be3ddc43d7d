"""A folder of numbered pictures as the frames of a clip."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import UnreadableMediaError
from .images import STILL_SUFFIXES, measure_image, read_image


class FrameFolder:
    """The pictures of a folder in the order of the numbers in their names, each read when it is due.

    Files of other kinds, hidden ones and folders are passed over.

    Args:
        folder: its path.

    Raises:
        UnreadableMediaError: it holds no picture.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            files = [path for path in self.folder.iterdir() if path.suffix.lower() in STILL_SUFFIXES]
        except OSError as error:
            raise UnreadableMediaError(f"The folder {self.folder} cannot be read: {error.strerror}.") from error
        self.files = sorted((path for path in files if path.is_file() and path.name[0] != "."), key=_natural)
        if not self.files:
            raise UnreadableMediaError(
                f"The folder {self.folder} is a folder without pictures; give one of numbered frames, or a video."
            )

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """(H, W, 3) uint8 RGB each, as `read_image` gives it."""
        for file in self.files:
            yield read_image(file)

    def sizes(self) -> set[tuple[int, int]]:
        """The different widths and heights, as headers tell them."""
        return {measure_image(file) for file in self.files}


def _natural(path: Path) -> list[tuple[int, str]]:
    """What orders frame9 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
