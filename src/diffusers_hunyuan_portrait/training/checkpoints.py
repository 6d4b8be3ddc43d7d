"""Checkpoints on the disk: written whole or not at all, the last ones kept."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.distributed.tensor import DTensor, distribute_tensor

STATE_FILE = "run.json"  # what the loop itself remembers
WEIGHTS_FILE = "trained.safetensors"  # what the trained model is made of: the mean weights, where there are such
_UNFINISHED = ".unfinished"


def find_checkpoints(folder: Path) -> list[Path]:
    """All whole checkpoints in `folder`, the earliest first."""
    return sorted(folder.glob("step-????????"))


def write_checkpoint(
    folder: Path, step: int, keep: int, accelerator: Accelerator, save: Callable[[Path], None]
) -> Path:
    """Writes the checkpoint of `step` and removes those before the last `keep`; all processes call it.

    It is written under another name, its files are flushed to the disk, and then it is given its own: a run that
    is killed at any moment leaves whole checkpoints only.

    Args:
        save: writes the files into the folder that it is given; called in every process.
    """
    path = folder / f"step-{step:08d}"
    unfinished = path.with_name(path.name + _UNFINISHED)
    if accelerator.is_main_process:
        for leftover in folder.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(leftover)
        unfinished.mkdir(parents=True)
    accelerator.wait_for_everyone()
    save(unfinished)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        replace_folder(unfinished, path)
        for old in find_checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return path


def replace_folder(written: Path, path: Path) -> None:
    """Gives the finished folder `written` the name `path`, in the place of what has it."""
    for entry in [*written.rglob("*"), written]:
        _flush(entry)
    if path.exists():
        shutil.rmtree(path)
    written.rename(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # only there can a folder be opened
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    (folder / STATE_FILE).write_text(json.dumps(state, indent=1))


def read_state(folder: Path) -> dict[str, Any]:
    return json.loads((folder / STATE_FILE).read_text())


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor on the CPU, gathered from all processes where it is shared out among them, as FSDP does."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu().contiguous()


def copy_whole(source: torch.Tensor, target: torch.Tensor) -> None:
    """Copies a whole tensor into one that may be shared out."""
    if isinstance(target, DTensor):
        source = distribute_tensor(source.to(target.device), target.device_mesh, target.placements)
    target.copy_(source)
