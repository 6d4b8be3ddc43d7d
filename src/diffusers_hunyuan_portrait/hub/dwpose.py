"""DWPose's two files from the Hub: fetched once, and found in the Hub client's cache from then on."""

from collections.abc import Mapping
from pathlib import Path

from diffusers.utils import logging
from huggingface_hub import constants

from ..errors import UserError
from ..face.skeletons.dwpose import DETECTOR_FILE, POSE_FILE, REPOSITORY, VARIABLE
from ..progress import Progress, no_progress
from .fetching import (
    HubFile,
    check_access,
    check_space,
    fetch_all,
    format_size,
    keep_revision,
    list_cached,
    list_files,
)

logger = logging.get_logger(__name__)

REVISION = constants.DEFAULT_REVISION
FILES = (DETECTOR_FILE, POSE_FILE)


def fetch_dwpose(on_progress: Progress | None = None) -> Path:
    """The folder that has DWPose's files; what is missing of them is fetched, and verified.

    Where the cache has them, nothing is asked of the network.

    Args:
        on_progress: told of the stages "download" and "check", in bytes.

    Raises:
        UserError: they are not to be had, or there is too little space.
    """
    cached = find_dwpose()
    if cached is not None:
        return cached
    files = _pick(list_files(REPOSITORY, REVISION))
    check_access(files)
    missing = sum(file.missing_bytes for file in files)
    check_space("DWPose", [(Path(constants.HF_HUB_CACHE).expanduser(), missing)])
    logger.warning(f"Fetching DWPose from {REPOSITORY}, {format_size(missing)}, once; its terms are told there.")
    fetch_all(files, on_progress or no_progress)
    for file in files:
        keep_revision(file, REVISION)
    return files[0].snapshot


def find_dwpose() -> Path | None:
    """The folder in the cache that has both files, where they are there; nothing is asked of the network."""
    cached = list_cached(REPOSITORY, REVISION)
    return cached[POSE_FILE].snapshot if all(name in cached for name in FILES) else None


def _pick(files: Mapping[str, HubFile]) -> list[HubFile]:
    missing = [name for name in FILES if name not in files]
    if missing:
        raise UserError(
            f"{REPOSITORY} lacks {', '.join(missing)}; name a folder that has them by --pose-path or {VARIABLE}."
        )
    return [files[name] for name in FILES]
