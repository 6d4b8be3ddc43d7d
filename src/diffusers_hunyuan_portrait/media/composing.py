"""Pictures put together from several: side by side, and contact sheets."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB

SHEET_COLUMNS, SHEET_PICTURES = 4, 16
SHEET_SIDE = 320  # pixels of a picture's longer side
LABEL = 20  # pixels below each


def side_by_side(pictures: Sequence[Picture], height: int) -> Picture:
    """The pictures in a row, each brought to `height`, (height, W, 3); widths are made even."""
    return np.hstack(
        [_resized(picture, _even(picture.shape[1] * height / picture.shape[0]), height) for picture in pictures]
    )


def write_label(text: str, width: int, height: int, font_size: int = 18) -> Picture:
    """Black on white, in the middle, (height, width, 3)."""
    field = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(size=font_size)
    ImageDraw.Draw(field).text((width / 2, height / 2), text, fill="black", anchor="mm", font=font)
    return np.asarray(field)


class ContactSheet:
    """Frames of a clip, evenly over it, with their times, in one picture; they are given one after the other.

    Args:
        frame_count: of the clip.
        pictures: how many of its frames are shown, at most.
    """

    def __init__(self, frame_count: int, pictures: int = SHEET_PICTURES) -> None:
        count = min(frame_count, pictures)
        self._shown = np.linspace(0, frame_count - 1, count).round().astype(int).tolist()
        self._tiles: list[Picture] = []
        self._seen = 0

    def add(self, frame: Picture, seconds: float) -> None:
        """The next frame, (H, W, 3) uint8 RGB, and when it is shown."""
        if self._seen in self._shown:
            height, width = frame.shape[:2]
            scale = min(SHEET_SIDE / max(height, width), 1)
            tile = _resized(frame, max(round(width * scale), 1), max(round(height * scale), 1))
            self._tiles.append(
                np.vstack([tile, write_label(f"{seconds:.2f} s", tile.shape[1], LABEL, font_size=13)])
            )
        self._seen += 1

    def picture(self) -> Picture:
        """The sheet of the frames so far."""
        columns = min(SHEET_COLUMNS, len(self._tiles))
        blank = np.full_like(self._tiles[0], 255)
        rows = [self._tiles[start : start + columns] for start in range(0, len(self._tiles), columns)]
        return np.vstack([np.hstack([*row, *[blank] * (columns - len(row))]) for row in rows])


def _resized(picture: Picture, width: int, height: int) -> Picture:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _even(length: float) -> int:
    return max(2 * round(length / 2), 2)
