"""How long work reports how far it has come."""

from typing import Protocol


class Progress(Protocol):
    """Told how far a stage has come.

    `stage` is "detect", "encode", "denoise" or "decode"; "films" of those to prepare; "train", in optimizer steps;
    "evaluate", in pairs; or, counted in bytes, "download", "check", "convert" or "bundle".
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def no_progress(stage: str, done: int, total: int) -> None:
    """Listens to nothing, where nobody wants to know."""
