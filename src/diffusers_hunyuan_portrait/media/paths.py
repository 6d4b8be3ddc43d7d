"""Questions to the file system, asked before a file is opened, with answers a user can act on."""

import os
import uuid
from pathlib import Path

from ..errors import UnreadableMediaError, UserError


def readable_file(path: str | os.PathLike[str], kind: str) -> Path:
    """`path` as an existing regular file with something in it, or `UnreadableMediaError`; `kind` names it."""
    path = Path(path)
    try:
        if path.is_dir():
            raise UnreadableMediaError(f"{path} is a folder; give the {kind} file itself.")
        if not path.exists():
            raise UnreadableMediaError(f"{path} does not exist; give the path of the {kind} file.")
        if not path.is_file():
            raise UnreadableMediaError(f"{path} is not a regular file; give the path of the {kind} file.")
        with path.open("rb") as file:
            if not file.read(1):
                raise UnreadableMediaError(f"{path} is empty; give a whole {kind} file.")
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UnreadableMediaError(f"{path} cannot be opened: {_reason(error)}.") from error
    return path


def writable_folder(folder: Path) -> None:
    """Raise `UserError` unless files can be made in `folder`, found out by making one and removing it."""
    if not folder.exists():
        raise UserError(f"The folder {folder} does not exist; create it first or choose another output.")
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder, so the output cannot be written in it; choose another.")
    trial = folder / unfinished_name("")
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise UserError(f"No file can be made in the folder {folder}: {_reason(error)}.") from error


def same_file(path: Path, other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one file, through links too; False where one of them leads to none."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def unfinished_name(suffix: str) -> str:
    """A short, fresh, hidden name for a file that is still being written."""
    return f".hunyuan-portrait-{uuid.uuid4().hex[:12]}{suffix}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
