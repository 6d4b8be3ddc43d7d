"""`convert_checkpoint`: the published files to one folder that the pipeline loads."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ModelMixin
from diffusers.utils import logging
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from ..errors import CheckpointError, UserError
from ..model_folder import ID_MODEL, INDEX, LIBRARY, write_code, write_json
from ..progress import Progress
from .card import carry_licences, find_licences, write_card
from .layout import PUBLISHED_FILES, VAE_FILE, Shape, Source, find_source
from .networks import build_networks, build_scheduler, check_config, find_resolution
from .output import check_disk, check_output, written_aside
from .weights import check_weights, open_weights

logger = logging.get_logger(__name__)

SVD_WEIGHTS = ("vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors")
SVD_CONFIGS = ("vae/config.json", "scheduler/scheduler_config.json", "unet/config.json")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
VARIANTS = {name: DTYPES[name] for name in ("fp16", "bf16")}
IN_FLOAT32 = "motion_extractor"  # the component that the released weights are used with in no other type
# What is in memory at a time: a shard as it is written, and what it is read from, twice that for half precision.
SHARD_SIZE = "1GB"
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])B)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Component:
    """A network to be written."""

    name: str
    network: ModelMixin  # without weights, for its config
    sources: Mapping[str, Source]  # where each of its weights is published
    weights: Mapping[str, torch.Tensor]  # on the meta device, in the type they are written in
    variant: str | None = None  # the variant whose files these are, beside the main ones

    @property
    def num_bytes(self) -> int:
        return sum(weight.nbytes for weight in self.weights.values())

    def as_variant(self, variant: str) -> "Component":
        """The same in half precision."""
        weights = {
            key: weight.to(VARIANTS[variant]) if weight.is_floating_point() else weight
            for key, weight in self.weights.items()
        }
        return replace(self, weights=weights, variant=variant)


def convert_checkpoint(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    svd: str | os.PathLike,
    config: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype | None = None,
    variant: str | None = None,
    max_shard_size: int | str = SHARD_SIZE,
    arcface: str | os.PathLike | None = None,
    name: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Writes `output`, a folder that `HunyuanPortraitPipeline.from_pretrained` loads, with its model card.

    Everything is checked before anything is written, and `output` appears once it is whole. Files are read a shard
    at a time: at the default shard size, the published set takes less than 8 GiB of memory, mapped pages included.
    The same files give the same bytes.

    Args:
        source: folder with the seven published files, or with a folder `hyportrait` that has them.
        output: folder to make; it must not exist, or be empty.
        svd: folder with Stable Video Diffusion's `vae`, `scheduler` and `unet/config.json`.
        config: sizes where they are not the published ones, under the published program's names: any of `unet`,
            `vae`, `pose_guider`, `dino`, `image_proj`, `motion_refiner` and `scheduler`, each a dict.
        dtype: "fp16", "bf16", "fp32" or torch's; by default each weight's published type. The motion extractor
            stays in float32, as the released weights are used.
        variant: "fp16" or "bf16", to write half-precision files beside those of the other type, which
            `from_pretrained(..., variant=variant)` reads instead. The motion extractor has none.
        max_shard_size: the most that one file of weights takes, but for a single tensor that is larger: bytes, or
            a number with KB, MB, GB or TB, as diffusers takes it.
        arcface: the ONNX ID encoder; by default `arcface.onnx` beside the published files or in the folder above,
            where it is.
        name: "owner/name" of the Hub repository that it is for, which its card speaks of; by default `output`.
        on_progress: called as `("convert", bytes done, bytes in all)`.

    Returns:
        `output`.

    Raises:
        CheckpointError: a file is missing, is no checkpoint, holds more than tensors, or has a key missing,
            surplus or misshapen.
        UserError: another argument is wrong, or `output` cannot be written.
    """
    weight_dtype = _find_dtype(dtype)
    _check_variant(variant, weight_dtype)
    shard_size = _find_shard_size(max_shard_size)
    source, output, svd = Path(source), Path(output), Path(svd)
    check_output(output)
    published = _find_published(source)
    files = {name: published / name for name in PUBLISHED_FILES} | {VAE_FILE: _find_svd(svd)}
    id_model = _find_id_model(published, arcface)
    config = check_config(config or {})
    networks, scheduler = build_networks(config, svd), build_scheduler(config, svd)
    components = _plan(networks, files, weight_dtype)
    if variant is not None:
        components += [each.as_variant(variant) for each in components if each.name != IN_FLOAT32]
    licences = find_licences([published, source], svd)

    total = sum(component.num_bytes for component in components) + (id_model.stat().st_size if id_model else 0)
    check_disk(output, total)
    done = 0

    def report(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        if on_progress is not None:
            on_progress("convert", done, total)

    with written_aside(output) as folder:
        for component in components:
            _write_component(component, files, folder / component.name, shard_size, report)
        scheduler.save_config(folder / "scheduler")
        if id_model is not None:
            (folder / ID_MODEL).parent.mkdir()
            shutil.copyfile(id_model, folder / ID_MODEL)
            report(id_model.stat().st_size)
        write_json(folder / INDEX, _model_index(find_resolution(config)))
        write_code(folder)
        carry_licences(folder, licences)
        write_card(folder, name or output.as_posix())
    return output


# -- What is asked for -----------------------------------------------------------------------------------------


def _find_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if (dtype is not None and found is None) or (found is not None and found not in DTYPES.values()):
        raise UserError(f"There is no type {dtype!r} to convert to; use {', '.join(DTYPES)}.")
    return found


def _check_variant(variant: str | None, dtype: torch.dtype | None) -> None:
    if variant is not None and variant not in VARIANTS:
        raise UserError(f"There is no variant {variant!r}; use {' or '.join(VARIANTS)}.")
    if variant is not None and dtype is VARIANTS[variant]:
        raise UserError(
            f"The main files are {variant} already, as the variant would be; leave one of the two out."
        )


def _find_shard_size(size: int | str) -> int:
    """Bytes."""
    num_bytes = 0
    if isinstance(size, str) and (match := SIZE.fullmatch(size)):
        num_bytes = int(float(match[1]) * 1000 ** " KMGT".index(match[2].upper() if match[2] else " "))
    elif isinstance(size, int) and not isinstance(size, bool):
        num_bytes = size
    if num_bytes < 1:
        raise UserError(
            f"A file of weights cannot be at most {size!r}; give bytes, or a size such as 500MB or 1GB."
        )
    return num_bytes


def _find_published(source: Path) -> Path:
    """The folder that has the seven files."""
    if not source.is_dir():
        raise CheckpointError(f"{source} is not a folder; give the one that has {', '.join(PUBLISHED_FILES)}.")
    places = [source, source / "hyportrait"]
    missing = {place: [name for name in PUBLISHED_FILES if not (place / name).exists()] for place in places}
    best = min(places, key=lambda place: len(missing[place]))
    if len(missing[best]) == len(PUBLISHED_FILES):
        raise CheckpointError(f"{source} has none of {', '.join(PUBLISHED_FILES)}, nor has a hyportrait in it.")
    if missing[best]:
        raise CheckpointError(
            f"{best} lacks {', '.join(missing[best])}; all of {', '.join(PUBLISHED_FILES)} are needed."
        )
    return best


def _find_svd(svd: Path) -> Path:
    """SVD's VAE weights; in half precision, as the released weights are used with them, where there are both."""
    missing = [name for name in SVD_CONFIGS if not (svd / name).exists()]
    found = [svd / name for name in SVD_WEIGHTS if (svd / name).exists()]
    if not found:
        missing.append(" or ".join(SVD_WEIGHTS))
    if missing:
        raise CheckpointError(
            f"{svd} lacks {', '.join(missing)}; give a folder of Stable Video Diffusion img2vid-xt."
        )
    return found[0]


def _find_id_model(published: Path, arcface: str | os.PathLike | None) -> Path | None:
    if arcface is not None:
        path = Path(arcface)
        if not path.is_file() or not path.stat().st_size:
            raise UserError(f"{path} is not an ONNX file, or there is none; give ArcFace's, or leave it out.")
        return path
    places = [published / "arcface.onnx", published.absolute().parent / "arcface.onnx"]
    return next((path for path in places if path.is_file()), None)


# -- What is to be written -------------------------------------------------------------------------------------


def _plan(
    networks: Mapping[str, ModelMixin], files: Mapping[str, Path], dtype: torch.dtype | None
) -> list[Component]:
    """All components, once every key of every file is accounted for."""
    sources = {
        name: {key: find_source(name, key) for key in network.state_dict()} for name, network in networks.items()
    }
    expected: dict[str, dict[str, tuple[Shape, bool]]] = {file: {} for file in files}
    for name, network in networks.items():
        for key, weight in network.state_dict().items():
            origin = sources[name][key]
            shape = origin.reader.published_shape(tuple(weight.shape))
            expected[origin.file][origin.key] = shape, weight.is_floating_point()
    stored = {file: _check_file(path, expected[file]) for file, path in files.items()}

    def written_dtype(component: str, origin: Source) -> torch.dtype:
        stored_dtype = stored[origin.file][origin.key]
        if not stored_dtype.is_floating_point:
            return stored_dtype
        return torch.float32 if component == IN_FLOAT32 else dtype or stored_dtype

    return [
        Component(
            name,
            network,
            sources[name],
            {
                key: torch.empty_like(weight, dtype=written_dtype(name, sources[name][key]))
                for key, weight in network.state_dict().items()
            },
        )
        for name, network in networks.items()
    ]


def _check_file(path: Path, expected: Mapping[str, tuple[Shape, bool]]) -> dict[str, torch.dtype]:
    """The type of each weight in a file that has just the expected ones."""
    weights = open_weights(path)
    check_weights(path, weights, expected)
    return {key: weight.dtype for key, weight in weights.items()}


def _model_index(resolution: int) -> dict[str, Any]:
    return {
        "_class_name": "HunyuanPortraitPipeline",
        "_diffusers_version": diffusers.__version__,
        "im_adapter": [LIBRARY, "IMAdapter"],
        "motion_extractor": [LIBRARY, "MotionExtractor"],
        "pose_guider": [LIBRARY, "PoseGuider"],
        "resolution": resolution,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "unet": [LIBRARY, "HunyuanPortraitUNet"],
        "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
    }


# -- Writing ---------------------------------------------------------------------------------------------------


def _write_component(
    component: Component,
    files: Mapping[str, Path],
    folder: Path,
    shard_size: int,
    report: Callable[[int], None],
) -> None:
    """Writes a network's config and weights, in shards that are read one after the other."""
    component.network.save_config(folder)
    # As diffusers names them, which has the variant in other places for a shard and for the index.
    variant = "" if component.variant is None else f".{component.variant}"
    pattern = f"diffusion_pytorch_model{variant}{{suffix}}.safetensors"
    split = split_torch_state_dict_into_shards(
        dict(component.weights), filename_pattern=pattern, max_shard_size=shard_size
    )
    for file, keys in split.filename_to_tensors.items():
        shard = _read_shard(component, keys, files, report)
        save_file(shard, folder / file, metadata={"format": "pt"})
        del shard  # before the next is read
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / f"diffusion_pytorch_model.safetensors.index{variant}.json", index)


def _read_shard(
    component: Component, keys: list[str], files: Mapping[str, Path], report: Callable[[int], None]
) -> dict[str, torch.Tensor]:
    """Copies of the published tensors, as ours.

    The files are mapped anew for each shard: pages that were read count as this process's memory until then.
    """
    opened: dict[str, dict[str, torch.Tensor]] = {}
    shard = {}
    for key in keys:
        origin, planned = component.sources[key], component.weights[key]
        if origin.file not in opened:
            opened[origin.file] = open_weights(files[origin.file])
        value = origin.reader.read(opened[origin.file][origin.key], tuple(planned.shape))
        shard[key] = torch.empty_like(planned, device="cpu").copy_(value)
        if not torch.isfinite(shard[key].float()).all():  # a warning: only a run can tell whether it matters
            logger.warning(
                f"{origin.key} of {files[origin.file]} holds infinite values or NaN as {planned.dtype}. If "
                "pictures come out wrong, fetch the file again or convert to a wider type."
            )
        report(planned.nbytes)
    return shard
