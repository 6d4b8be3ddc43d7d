"""Weights and inputs as functions of a text key, by the rule that the golden files were made with.

The key's CRC-32 seeds NumPy's legacy MT19937 stream, which NumPy never changes.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


def _stream(key: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(key.encode()))


def normal(key: str, shape) -> torch.Tensor:
    """A standard-normal float32 input."""
    return torch.from_numpy(_stream(key).standard_normal(tuple(shape)).astype(np.float32))


def uniform(key: str, shape) -> torch.Tensor:
    """A float32 input, uniform in [0, 1)."""
    return torch.from_numpy(_stream(key).random_sample(tuple(shape)).astype(np.float32))


def unit(key: str, shape) -> torch.Tensor:
    """A standard-normal input over its norm, as ID vectors are fed."""
    vector = normal(key, shape)
    return vector / vector.norm(dim=-1, keepdim=True)


def weight(key: str, shape) -> torch.Tensor:
    """The value of the parameter or buffer called `key`, of a size that keeps activations near one."""
    shape, leaf = tuple(shape), key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    noise = _stream(key).standard_normal(shape).astype(np.float32)
    if leaf == "running_var":
        value = 1 + 0.1 * np.abs(noise)
    elif leaf == "running_mean":
        value = 0.02 * noise
    elif leaf == "gamma":  # layer scale
        value = 0.1 + 0.02 * noise
    elif leaf in {"pos_embed", "cls_token", "register_tokens"}:
        value = 0.5 * noise
    elif len(shape) > 1:
        value = noise / np.sqrt(int(np.prod(shape[1:])))
    elif leaf.endswith("bias"):
        value = 0.05 * noise
    else:
        value = 1 + 0.05 * noise if leaf == "weight" else 0.5 * noise
    return torch.from_numpy(np.asarray(value, dtype=np.float32).reshape(shape).copy())


def state_dict(manifest: dict, prefix: str = "") -> dict[str, torch.Tensor]:
    """A whole checkpoint from its manifest, key → (shape, dtype)."""
    return {key: weight(prefix + key, shape) for key, (shape, _) in manifest.items()}


def published_manifests() -> dict:
    """For each of the seven published files, its keys with shape and dtype."""
    return json.loads((GOLDEN / "checkpoint_manifests.json").read_text())


def tiny_model() -> dict:
    """`config`, the networks' small sizes, and `manifest`, their keys and shapes in the published layout."""
    return json.loads((GOLDEN / "tiny_model.json").read_text())
