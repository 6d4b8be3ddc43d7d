"""The face detectors, and the choice between them by name."""

from pathlib import Path
from typing import Any

from ...errors import UserError
from . import insightface, yoloface
from .following import FollowingDetector
from .insightface import InsightFace
from .interface import Detector, Face
from .mtcnn import MTCNN
from .yoloface import YoloFace

DETECTORS = ("insightface", "mtcnn", "yoloface")

__all__ = [
    "DETECTORS",
    "Detector",
    "Face",
    "FollowingDetector",
    "load_detector",
    "missing_for_detector",
    "resolve_detector",
]


def resolve_detector(name: str = "auto") -> str:
    """The name of the detector that `load_detector(name)` would load, without loading it.

    `auto` is insightface where one of its model packs is on the disk and the package can be imported, else
    the bundled mtcnn.

    Raises:
        UserError: where there is no detector of that name.
    """
    if name == "auto":
        installed = insightface.find_model() is not None and insightface.is_importable()
        return "insightface" if installed else "mtcnn"
    if name not in DETECTORS:
        raise UserError(
            f"There is no detector {name!r}; choose auto, {', '.join(DETECTORS[:-1])} or {DETECTORS[-1]}."
        )
    return name


def missing_for_detector(name: str) -> str | None:
    """What the detector `name` lacks on this machine, as a sentence, or None where it lacks nothing."""
    finders = {"insightface": insightface.find_installed, "yoloface": yoloface.find_installed}
    if resolve_detector(name) not in finders:
        return None
    try:
        finders[name]()
    except UserError as error:
        return str(error)
    return None


def load_detector(
    name: str = "auto", *, device: Any = None, path: str | Path | None = None
) -> InsightFace | MTCNN | YoloFace:
    """Load a face detector; its `name` says which one it is. Nothing is ever downloaded.

    Args:
        name: `auto` (see `resolve_detector`), `insightface` (SCRFD), `mtcnn` (bundled) or `yoloface` (the
            published program's).
        device: where it runs, the CPU by default.
        path: where insightface's model pack or yoloface's file is; see `InsightFace` and `YoloFace`. The bundled
            mtcnn and `auto` take none.

    Raises:
        UserError: where there is no such detector, or what it needs is not installed.
        CheckpointError: where its file is missing or is not what it should be.
    """
    if path is not None and name in ("auto", "mtcnn"):
        raise UserError(f"The detector {name} takes no path, but got {str(path)!r}; leave it out.")
    chosen = resolve_detector(name)
    if chosen == "mtcnn":
        return MTCNN(device)
    return InsightFace(path, device) if chosen == "insightface" else YoloFace(path, device)
