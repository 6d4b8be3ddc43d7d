"""The networks at the sizes that a checkpoint was trained with, without weights."""

import inspect
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler, ModelMixin

from ..errors import UserError
from ..models import HunyuanPortraitUNet, IMAdapter, MotionExtractor, PoseGuider
from .layout import STORED_SIDE

Config = Mapping[str, Any]

PUBLISHED_RESOLUTION = 512

# The names that the published program has for sizes of two of our networks, and ours.
_REFINER_NAMES = {
    "input_dim": "expression_dim",
    "output_dim": "refined_dim",
    "num_queries": "num_memories",
    "intensity_embed_dim": "intensity_embed_dim",
    "width": "width",
    "layers": "num_blocks",
    "heads": "num_heads",
}
_DINO_NAMES = {
    "embed_dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_ratio": "mlp_ratio",
    "patch_size": "patch_size",
    "num_register_tokens": "num_register_tokens",
    "add_adapter_layer": "adapter_layers",
    "visual_adapter_dim": "adapter_dim",
}
_DINO_CHECKED = "img_size"  # of the stored positions
_DINO_IGNORED = "init_values"  # what training started its layer scales from
ENTRIES = ("unet", "vae", "pose_guider", "dino", "image_proj", "motion_refiner", "scheduler")


def read_config(path: Path) -> dict[str, Any]:
    """A JSON file of sizes: the config itself, or an object that has it under "config".

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not a JSON file: {error}.") from error
    if isinstance(content, dict):
        content = content.get("config", content)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a JSON {type(content).__name__}, not an object of sizes.")
    return content


def check_config(config: Any) -> Config:
    """`config` where it names only entries and sizes that there are.

    Raises:
        UserError: it does not.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"`config` is a {type(config).__name__}; it must be a dict of {', '.join(ENTRIES)}.")
    known = {
        "unet": _settings(HunyuanPortraitUNet),
        "vae": _settings(AutoencoderKLTemporalDecoder),
        "pose_guider": _settings(PoseGuider),
        "dino": {*_DINO_NAMES, _DINO_CHECKED, _DINO_IGNORED},
        "image_proj": {"in_features", "out_features"},
        "motion_refiner": set(_REFINER_NAMES),
    }
    _check_names("`config`", config, set(ENTRIES))
    for entry, sizes in config.items():
        if not isinstance(sizes, Mapping):
            raise UserError(f"`config` has a {type(sizes).__name__} under {entry!r}; it must be a dict of sizes.")
        if entry in known:  # not the scheduler's: diffusers keeps settings of related schedulers beside its own
            _check_names(f"`config` under {entry!r}", _public(sizes), known[entry])
    return config


def build_networks(config: Config, svd: Path) -> dict[str, ModelMixin]:
    """The five networks on the meta device, by component name.

    Args:
        config: as `check_config` gives it; its entries override SVD's configs and the published sizes.
        svd: Stable Video Diffusion's folder.

    Raises:
        UserError: the sizes make no network.
    """
    refiner_sizes = _renamed(config.get("motion_refiner", {}), _REFINER_NAMES)
    with torch.device("meta"):
        return {
            "im_adapter": _build(IMAdapter, _im_adapter_sizes(config), "dino and image_proj"),
            "motion_extractor": _build(MotionExtractor, refiner_sizes, "motion_refiner"),
            "pose_guider": _build(PoseGuider, config.get("pose_guider", {}), "pose_guider"),
            "unet": _build(HunyuanPortraitUNet, _svd_sizes(config, svd, "unet"), "unet"),
            "vae": _build(AutoencoderKLTemporalDecoder, _svd_sizes(config, svd, "vae"), "vae"),
        }


def build_scheduler(config: Config, svd: Path) -> EulerDiscreteScheduler:
    """SVD's scheduler, with the config's settings.

    Raises:
        UserError: the settings make no scheduler.
    """
    return _build(EulerDiscreteScheduler, _svd_sizes(config, svd, "scheduler"), "scheduler")


def find_resolution(config: Config) -> int:
    """Side of the pictures the networks were trained for.

    The published ones were trained at 512, while SVD's configs, which they are used with, say 768.
    """
    return config.get("vae", {}).get("sample_size", PUBLISHED_RESOLUTION)


def _settings(network: type[Any]) -> set[str]:
    return set(inspect.signature(network.__init__).parameters) - {"self"}


def _public(sizes: Config) -> dict[str, Any]:
    """Without what diffusers notes in a config for itself, as `_class_name`."""
    return {name: value for name, value in sizes.items() if not name.startswith("_")}


def _check_names(where: str, names: Mapping[str, Any], known: set[str]) -> None:
    unknown = [str(name) for name in names if name not in known]
    if unknown:
        raise UserError(f"{where} has {', '.join(unknown)}; known are {', '.join(sorted(known))}.")


def _renamed(sizes: Config, names: Mapping[str, str]) -> dict[str, Any]:
    return {names[name]: value for name, value in sizes.items() if name in names}


def _svd_sizes(config: Config, svd: Path, part: str) -> dict[str, Any]:
    file = svd / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    return _public(read_config(file)) | _public(config.get(part, {}))


def _im_adapter_sizes(config: Config) -> dict[str, Any]:
    dino, image_proj = config.get("dino", {}), config.get("image_proj", {})
    sizes = _renamed(dino, _DINO_NAMES)
    default = {name: parameter.default for name, parameter in inspect.signature(IMAdapter).parameters.items()}
    patch_size = sizes.get("patch_size", default["patch_size"])
    if _DINO_CHECKED in dino and dino[_DINO_CHECKED] // patch_size != STORED_SIDE:
        raise UserError(
            f"`config` under 'dino' has img_size {dino[_DINO_CHECKED]} with patches of {patch_size}; only "
            f"positions stored as {STORED_SIDE}×{STORED_SIDE} are converted."
        )
    if "in_features" in image_proj:  # one for each token: class, registers, and a square of patches
        num_patches = (
            image_proj["in_features"] - 1 - sizes.get("num_register_tokens", default["num_register_tokens"])
        )
        side = math.isqrt(max(num_patches, 0))
        if side < 1 or side**2 != num_patches:
            raise UserError(
                f"`config` under 'image_proj' has in_features {image_proj['in_features']}, which leaves "
                f"{num_patches} tokens for the patches of a square image; that is no square number."
            )
        sizes["image_size"] = side * patch_size
    if "out_features" in image_proj:
        sizes["num_image_tokens"] = image_proj["out_features"]
    return sizes


def _build(network: type[Any], sizes: Config, entry: str) -> Any:
    try:
        return network.from_config(dict(sizes))
    except Exception as error:  # sizes that do not go together make constructors fail in any way
        raise UserError(f"The config of {entry} makes no {network.__name__}: {error}.") from error
