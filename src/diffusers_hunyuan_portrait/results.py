"""What is written of a run: the video, and on request a comparison and a contact sheet beside it."""

import io
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from . import media
from .errors import UserError
from .media.paths import unfinished_name
from .provenance import CARRIERS, COMMENT, Claim, Signature, Watermark, seal

logger = logging.getLogger(__name__)

COMPARISON_HEIGHT = 720  # pixels, at most: three pictures beside each other are wide enough
SHEETS = (".png", ".jpg", ".jpeg")
_PACKED_QUALITY = 95  # JPEG's, of driving frames that are shown again, backwards


class ResultWriter:
    """The files of a run being written, each of which appears whole or not at all; for a `with` statement.

    Args:
        output: the video, or the folder of PNG pictures.
        frame_rate: frames a second.
        codec, quality: of the video, as `media.VideoWriter` takes them; or "png".
        sound: what is heard, if anything.
        comparison: another video, with portrait, driver and result in a row.
        sheet: a picture, .png or .jpg, of frames of the result.
        portrait: (H, W, 3) uint8 RGB.
        driving: the clip, to be read anew for the comparison; `None` where there are no pictures of it.
        order: which of the clip's frames each of the result's goes with.
        times: (F,) seconds at which the result's frames are shown.
        own_times: whether these are not what the frame rate gives.
        provenance: what the files say of how they were made, and who signs it; `None` for nothing.
        watermark: what puts a mark into every picture that is written; `None` for none.

    Raises:
        UserError: see `media.check_output`; or there is nothing to compare with, or the sheet is no such file.
    """

    def __init__(
        self,
        output: Path,
        *,
        frame_rate: Fraction,
        codec: str | None,
        quality: int | None,
        sound: media.Sound | None,
        comparison: Path | None,
        sheet: Path | None,
        portrait: npt.NDArray[np.uint8],
        driving: Any,
        order: Sequence[int],
        times: npt.NDArray[np.float64],
        own_times: bool,
        provenance: tuple[Claim, Signature] | None = None,
        watermark: Watermark | None = None,
    ) -> None:
        self._provenance, self._watermark = provenance, watermark
        comment = None if provenance is None else COMMENT
        self._video: Any
        if codec == media.PICTURES:
            self._video = media.PictureWriter(output)
        else:
            self._video = media.VideoWriter(
                output,
                frame_rate=frame_rate,
                sound_from=sound,
                codec=codec,
                quality=quality,
                comment=comment,
                seal=self._sealer(output),
            )
        self._comparison, self._sheet = None, None
        if comparison is not None:
            self._comparison = media.VideoWriter(
                comparison,
                frame_rate=frame_rate,
                sound_from=sound,
                comment=comment,
                seal=self._sealer(comparison),
            )
            self._driving = _in_order(driving, order)
        if sheet is not None:
            self._sheet_path, self._sheet = sheet, media.ContactSheet(len(order))
        self._portrait, self._times, self._own_times = portrait, times, own_times
        self._files = ExitStack()
        self._count = 0

    def __enter__(self) -> "ResultWriter":
        self._files.enter_context(self._video)
        if self._comparison is not None:
            self._files.enter_context(self._comparison)
        return self

    def write(self, frame: npt.NDArray[np.uint8]) -> None:
        """The next frame of the result, (H, W, 3) uint8 RGB."""
        seconds = float(self._times[self._count])
        time = seconds if self._own_times else None
        self._video.write(self._marked(frame), time)
        if self._comparison is not None:
            height = min(frame.shape[0], COMPARISON_HEIGHT)
            row = media.side_by_side([self._portrait, next(self._driving), frame], height)
            self._comparison.write(self._marked(row), time)
        if self._sheet is not None:
            self._sheet.add(frame, seconds)
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)
        if kind is None and self._sheet is not None:
            sheet = self._sheet.picture()
            if self._watermark is not None:
                sheet = self._watermark.mark_alone(sheet)
            _save(sheet, self._sheet_path, self._sealer(self._sheet_path))

    def _marked(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """As it is written; a comparison is marked as a whole, and not in its parts."""
        return picture if self._watermark is None else self._watermark.mark(picture)

    def _sealer(self, path: Path) -> Callable[[Path], None] | None:
        """What signs the file that is to be `path`, where that can carry credentials."""
        if self._provenance is None:
            return None
        if path.suffix.lower() not in CARRIERS:
            logger.warning("A %s file cannot carry content credentials; it only notes: %s.", path.suffix, COMMENT)
            return None
        claim, signature = self._provenance
        return lambda file: seal(file, claim, signature, title=path.name)


def check_beside(
    comparison: str | os.PathLike[str] | None,
    sheet: str | os.PathLike[str] | None,
    others: Sequence[Any],
    *,
    has_pictures: bool,
) -> tuple[Path | None, Path | None]:
    """The paths of comparison and contact sheet, once they can be written.

    Args:
        others: files that they must not be.
        has_pictures: whether there are any of the driver.

    Raises:
        UserError: one cannot be written, or is one of the others, or there is nothing to compare with.
    """
    if comparison is not None:
        if not has_pictures:
            raise UserError("A motion has no pictures of its driver, so there is no comparison; leave it out.")
        comparison = media.check_output(comparison, others)
        _check_apart(comparison, others)
    if sheet is not None:
        sheet = Path(sheet)
        if sheet.suffix.lower() not in SHEETS:
            raise UserError(f"The preview {sheet} is a picture; let it end in one of {', '.join(SHEETS)}.")
        media.writable_folder(sheet.parent)
        _check_apart(sheet, (*others, comparison))
    return comparison, sheet


def _check_apart(path: Path, others: Sequence[Any]) -> None:
    for other in others:
        if isinstance(other, (str, os.PathLike)) and Path(other).absolute() == path.absolute():
            raise UserError(f"{path} is named twice; each file that is written or read needs its own name.")


def _in_order(clip: Any, order: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """The clip's frames as `order` has them: rounds from the first on, or back and forth.

    A clip is read forwards only. Where it is shown backwards, its frames are kept, packed: some 50 kB each.
    """
    goes_back = any(later == earlier - 1 for earlier, later in itertools.pairwise(order))
    frames, packed = iter(clip), list[bytes]()
    for number in order:
        if goes_back:
            while len(packed) <= number:
                packed.append(_pack(next(frames)))
            yield np.asarray(Image.open(io.BytesIO(packed[number])))
        else:
            if number == 0:
                frames = iter(clip)
            yield next(frames)


def _pack(frame: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(frame)
    picture.thumbnail((4 * COMPARISON_HEIGHT, COMPARISON_HEIGHT))
    picture.save(file, "jpeg", quality=_PACKED_QUALITY, subsampling=0)
    return file.getvalue()


def _save(picture: npt.NDArray[np.uint8], path: Path, finish: Callable[[Path], None] | None) -> None:
    unfinished = path.with_name(unfinished_name(path.suffix))
    try:
        Image.fromarray(picture).save(unfinished, quality=90)
        if finish is not None:
            finish(unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"The preview {path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
