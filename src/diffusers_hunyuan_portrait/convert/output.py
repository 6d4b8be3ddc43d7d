"""The folder that something is written to: checked first, and there only once it is whole."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ..errors import UserError

DISK_MARGIN = 2**24  # for configs and file system, beside the weights


def check_output(output: Path) -> None:
    """Sees that `output` can be made, or is empty and can be replaced.

    Raises:
        UserError: it holds something, is a file, or is a folder that nothing can take the place of.
    """
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; give a folder that does not exist yet.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; give a folder that does not exist yet.")
    if output.is_symlink() or os.path.ismount(output) or output.resolve() == Path.cwd():
        raise UserError(
            f"{output} is a link, a mount or the folder worked in, which a finished folder cannot take the place "
            "of; give a folder that does not exist yet."
        )


def check_disk(output: Path, num_bytes: int) -> None:
    """Sees that there is room for `num_bytes` of weights.

    Raises:
        UserError: there is not.
    """
    place = _nearest_folder(output)
    free, needed = shutil.disk_usage(place).free, num_bytes + DISK_MARGIN
    if free < needed:
        raise UserError(
            f"{output} will take {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free in {place}."
        )


@contextmanager
def written_aside(output: Path) -> Iterator[Path]:
    """A folder to write into that becomes `output` at the end, and vanishes where that is not reached.

    Raises:
        UserError: it cannot be written.
    """
    aside = _nearest_folder(output) / f".{output.name}.{uuid.uuid4().hex}"
    try:
        aside.mkdir()
        yield aside
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists():
            output.rmdir()  # only an empty folder can be removed so
        aside.rename(output)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise UserError(f"{output} cannot be written: {error}.") from error
    except BaseException:  # an interrupt by the keyboard, too
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _nearest_folder(path: Path) -> Path:
    """The nearest of the folders above `path` that exists."""
    return next(folder for folder in path.absolute().parents if folder.exists())
