"""DWPose, its two files named or fetched from the Hub: once, and found in the Hub client's cache from then on."""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.utils import logging
from huggingface_hub import constants

from ..errors import UserError
from ..face.skeletons import PoseEstimator
from ..face.skeletons.dwpose import (
    DETECTOR_FILE,
    POSE_FILE,
    REPOSITORY,
    VARIABLE,
    DWPose,
    find_files,
    import_rtmlib,
    named_path,
)
from ..poses import check_pose
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


def load_pose_estimator(
    pose: str,
    *,
    device: torch.device | str | None = None,
    path: str | Path | None = None,
    on_progress: Progress | None = None,
) -> PoseEstimator | None:
    """What finds key points for a pose's skeletons; `None` for the pose "none".

    Args:
        pose: one of `poses.POSES`.
        device: where it runs, the CPU by default.
        path: where DWPose's files are, as `DWPose` takes it; by default what HUNYUAN_PORTRAIT_DWPOSE says, else
            they are fetched from the Hub, once.
        on_progress: told of the stages "download" and "check", in bytes.

    Raises:
        UserError: there is no such pose, or a path without one, or rtmlib is not installed, or the files are
            missing, damaged, or not to be had.
    """
    check_pose(pose)
    if pose == "none":
        if path is not None:
            raise UserError(f"Without a pose its files are not needed, but got {str(path)!r}; leave it out.")
        return None
    import_rtmlib()  # before hundreds of megabytes are fetched
    return DWPose(named_path(path) or fetch_dwpose(on_progress), device)


def missing_for_pose() -> str | None:
    """What the pose "dwpose" lacks on this machine, as a sentence, or `None` where it lacks nothing."""
    try:
        import_rtmlib()
        named = named_path()
        if named is not None:
            find_files(named)
            return None
    except UserError as error:
        return str(error)
    if find_dwpose() is not None:
        return None
    return (
        "DWPose's files are not in the Hub's cache; --pose dwpose brings them there at its first run, or takes "
        f"them from where --pose-path or {VARIABLE} says."
    )


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
