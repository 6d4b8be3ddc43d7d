"""Files of published weights: opened without running anything in them, and checked key by key."""

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from ..errors import CheckpointError
from .layout import Shape

PROBLEMS_SHOWN = 3  # of each kind in a file; one for other sizes has hundreds


def open_weights(path: Path) -> dict[str, Any]:
    """What `path` holds, keys to tensors on the CPU, whose bytes are read when they are looked at.

    Only tensors are unpickled, never code. Files in PyTorch's format from before 2020 cannot be mapped and are
    read as a whole.

    Raises:
        CheckpointError: it cannot be read, is no checkpoint, or holds more than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give a checkpoint there.")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is not a safetensors file, or it is cut short: {error}.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd about the file; what matters comes as an error
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except PermissionError as error:
        raise CheckpointError(f"{path} may not be read: {error.strerror}.") from error
    except Exception as error:  # a file of other kind or cut short makes the reader fail in any way
        raise CheckpointError(_say_unreadable(path, str(error))) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of weights.")
    return content


def _say_unreadable(path: Path, error: str) -> str:
    unsafe = re.search(r"GLOBAL (\S+)", error)
    if unsafe:
        return (
            f"{path} is refused: beside tensors it holds {unsafe[1]}, and reading that could run code. "
            "Only checkpoints of plain tensors are converted."
        )
    return f"{path} is not a checkpoint of plain tensors, or it is cut short; fetch it again."


def check_weights(path: Path, weights: Mapping[str, Any], expected: Mapping[str, tuple[Shape, bool]]) -> None:
    """Sees that `weights` are the `expected` ones: keys to shape and whether they are floating-point.

    Raises:
        CheckpointError: a key is missing, surplus or misshapen; names the first few, with both shapes.
    """
    missing = [
        f"{key} is missing, expected with shape {shape}"
        for key, (shape, _) in expected.items()
        if key not in weights
    ]
    surplus, wrong = [], []
    for key, value in weights.items():
        if not isinstance(value, torch.Tensor):
            wrong.append(f"{key} is a {type(value).__name__}, not a tensor")
        elif value.layout != torch.strided:
            wrong.append(f"{key} is sparse, not a plain tensor")
        elif value.is_meta:
            wrong.append(f"{key} is a tensor without values")
        elif key not in expected:
            surplus.append(f"{key} is not expected, but there with shape {tuple(value.shape)}")
        elif tuple(value.shape) != expected[key][0]:
            wrong.append(f"{key} has shape {tuple(value.shape)}, not {expected[key][0]}")
        elif value.is_floating_point() != expected[key][1]:
            wrong.append(f"{key} is of type {value.dtype}, of which kind it should not be")
    shown = [problem for kind in (wrong, missing, surplus) for problem in kind[:PROBLEMS_SHOWN]]
    if shown:
        others = len(wrong) + len(missing) + len(surplus) - len(shown)
        more = f"; and {others} more" if others else ""
        raise CheckpointError(f"{path} does not hold the weights expected of it: {'; '.join(shown)}{more}.")
