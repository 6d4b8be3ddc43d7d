"""Write frames as they come into a folder of PNG pictures."""

import os
import shutil
from types import TracebackType

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import UserError
from .codecs import PICTURES
from .paths import unfinished_name
from .video_writer import check_output


class PictureWriter:
    """A folder of numbered pictures being written, 000000.png on; to be used in a `with` statement.

    The folder appears under its name, whole, when the `with` block ends well. It is written under a hidden name
    beside it, which is removed on any error or interruption. Pictures have no times and no sound.

    Args:
        path: the folder to be; new, or empty.

    Raises:
        UserError: see `check_output`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_output(path, codec=PICTURES)
        self.frame_count = 0
        self._unfinished = self.path.parent / unfinished_name("")

    def __enter__(self) -> "PictureWriter":
        return self

    def write(self, frame: npt.NDArray[np.uint8], timestamp: float | None = None) -> None:
        """Add one frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            timestamp: passed over; it is here for `VideoWriter`'s sake.

        Raises:
            UserError: the picture cannot be written.
        """
        try:
            self._unfinished.mkdir(exist_ok=True)
            Image.fromarray(frame).save(self._unfinished / f"{self.frame_count:06d}.png")
        except OSError as error:
            raise UserError(
                f"The pictures in {self.path} cannot be written: {error.strerror or error}."
            ) from error
        self.frame_count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                if not self.frame_count:
                    raise UserError(f"No frame was given for {self.path}; there must be at least one.")
                self._unfinished.replace(self.path)  # an empty folder is replaced, another not
        except OSError as refused:
            raise UserError(f"The folder {self.path} cannot be made: {refused.strerror or refused}.") from refused
        finally:
            shutil.rmtree(self._unfinished, ignore_errors=True)
