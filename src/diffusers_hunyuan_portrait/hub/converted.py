"""Converted models: which type of their weights to load, and Hub repositories of them fetched into the cache."""

import json
import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging

from ..bundled import PIPELINE_CLASS, name_package_code
from ..errors import UserError
from ..model_folder import CARRIED, INDEX
from ..models import HunyuanPortraitUNet, IDEncoder, IMAdapter, MotionExtractor, PoseGuider
from ..progress import Progress, no_progress
from .failures import told_plainly
from .fetching import HubFile, check_access, check_space, fetch_all, format_size, keep_revision

logger = logging.get_logger(__name__)

CLASSES = {
    "im_adapter": IMAdapter,
    "motion_extractor": MotionExtractor,
    "pose_guider": PoseGuider,
    "unet": HunyuanPortraitUNet,
}
OPTIONAL_CLASSES = {"id_encoder": IDEncoder}  # of components that a model may lack, or have of another library
VARIANTS = {torch.float16: "fp16", torch.bfloat16: "bf16"}
CONFIGS = (INDEX, "*/config.json", "*/*_config.json")
_SHARD = r"(?:-\d{5}-of-\d{5})?"
# A component's weights, whole, in shards (numbered before or after the variant's name), or the index of shards.
_WEIGHTS = re.compile(
    rf"(?P<component>\w+)/diffusion_pytorch_model{_SHARD}(?:\.(?P<variant>\w+))?{_SHARD}\.safetensors"
    r"(?:\.index(?:\.(?P<index_variant>\w+))?\.json)?"
)


def read_index(
    folder: Path,
    advice: str = "give a folder that `hunyuan-portrait convert` wrote, or `hf download` fetched to a --local-dir",
    if_damaged: str | None = None,
) -> dict[str, Any]:
    """What a model's folder has, by component: the library and the class; a bundle's as this package names them.

    Args:
        folder: the model's.
        advice: what to do where it is none.
        if_damaged: what to do where its index cannot be read; by default as advised.

    Raises:
        UserError: it is no folder of a model, or of another pipeline.
    """
    if not folder.exists():
        raise UserError(f"There is no model {folder}; {advice}.")
    file = folder / INDEX
    if not file.is_file():
        raise UserError(f"{folder} is not a converted model: it has no {INDEX}; {advice}.")
    try:
        index = name_package_code(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{file} cannot be read ({error}); {if_damaged or advice}.") from error
    if index.get("_class_name") != PIPELINE_CLASS:
        raise UserError(f"{folder} holds a {index.get('_class_name')}, not a {PIPELINE_CLASS}; {advice}.")
    return index


def choose_variant(names: Collection[str], dtype: torch.dtype) -> str | None:
    """The variant to load weights of `dtype` from, by the names of a model's files; `None` for the plain ones.

    A model may have its weights in several types. That asked for is taken, else the plain one, and another where
    it is all there is.
    """
    found = _find_variants(names)
    wanted = VARIANTS.get(dtype)
    if wanted and any(wanted in variants for variants in found.values()):
        return wanted
    special = [variants for variants in found.values() if None not in variants]
    return min((variant for variants in special for variant in variants if variant), default=None)


def list_folder(folder: Path) -> list[str]:
    """The names of a model's files, as a repository's are written."""
    return [path.relative_to(folder).as_posix() for path in folder.glob("*/*")]


def fetch_converted(
    files: Mapping[str, HubFile], revision: str, dtype: torch.dtype, on_progress: Progress | None = None
) -> Path:
    """The folder in the cache with a repository's model, of whose weights those are fetched that `dtype` takes.

    Args:
        files: what the repository has, from `list_files`.
        revision: the branch, tag or commit that was asked for.
        dtype: type of the weights that are to be loaded.
        on_progress: told of the stages "download" and "check", in bytes.

    Raises:
        UserError: files are not to be had, or there is too little space.
    """
    variants, variant = _find_variants(files.keys()), choose_variant(files.keys(), dtype)
    wanted = []
    for name, file in files.items():
        match = _WEIGHTS.fullmatch(name)
        if match:
            there = variants[match["component"]]
            take = (match["variant"] or match["index_variant"]) == (variant if variant in there else None)
        else:
            take = any(fnmatchcase(name, pattern) for pattern in (*CONFIGS, *CARRIED))
        if take:
            wanted.append(file)
    repository, snapshot = wanted[0].repository, wanted[0].snapshot
    missing = [file for file in wanted if not file.path.exists()]
    if missing:
        check_access(missing)
        num_bytes = sum(file.missing_bytes for file in missing)
        with told_plainly(repository):
            check_space(repository, [(snapshot, num_bytes)])
        logger.info(f"Fetching {repository}: {format_size(num_bytes)}. Its card has its licences.")
        fetch_all(missing, on_progress or no_progress)
    keep_revision(wanted[0], revision)
    return snapshot


def _find_variants(names: Collection[str]) -> dict[str, set[str | None]]:
    """For each component, in which types its weights are there; `None` is the plain one."""
    found: dict[str, set[str | None]] = {}
    for match in map(_WEIGHTS.fullmatch, names):
        if match and match["index_variant"] is None and not match[0].endswith(".json"):
            found.setdefault(match["component"], set()).add(match["variant"])
    return found
