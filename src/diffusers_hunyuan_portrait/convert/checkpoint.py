"""`convert_checkpoint`: the published files to one folder that the pipeline loads."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ModelMixin
from diffusers.utils import logging
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..errors import CheckpointError, UserError
from ..progress import Progress
from .layout import PUBLISHED_FILES, VAE_FILE, Shape, Source, find_source
from .networks import build_networks, build_scheduler, check_config, find_resolution
from .weights import check_weights, open_weights

logger = logging.get_logger(__name__)

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# What is in memory at a time: a shard as it is written, and what it is read from, twice that for half precision.
SHARD_SIZE = "1GB"
DISK_MARGIN = 2**24  # for configs and file system, beside the weights

# What the `pipeline.py` at a folder's root holds, which diffusers' `custom_pipeline=` looks for.
PIPELINE_CODE = '''"""The pipeline of the installed package, for diffusers' `custom_pipeline=`."""

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline

__all__ = ["HunyuanPortraitPipeline"]
'''


@dataclass(frozen=True)
class Component:
    """A network to be written."""

    name: str
    network: ModelMixin  # without weights, for its config
    sources: Mapping[str, Source]  # where each of its weights is published
    weights: Mapping[str, torch.Tensor]  # on the meta device, in the type they are written in

    @property
    def num_bytes(self) -> int:
        return sum(weight.nbytes for weight in self.weights.values())


def convert_checkpoint(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    svd: str | os.PathLike,
    config: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype | None = None,
    arcface: str | os.PathLike | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Writes `output`, a folder that `HunyuanPortraitPipeline.from_pretrained` loads.

    Everything is checked before anything is written, and `output` appears once it is whole. Files are read a shard
    at a time: the published set takes less than 8 GiB of memory, mapped pages included.

    Args:
        source: folder with the seven published files, or with a folder `hyportrait` that has them.
        output: folder to make; it must not exist, or be empty.
        svd: folder with Stable Video Diffusion's `vae`, `scheduler` and `unet/config.json`.
        config: sizes where they are not the published ones, under the published program's names: any of `unet`,
            `vae`, `pose_guider`, `dino`, `image_proj`, `motion_refiner` and `scheduler`, each a dict.
        dtype: "fp16", "bf16", "fp32" or torch's; by default each weight's published type. The motion extractor
            stays in float32, as the released weights are used.
        arcface: the ONNX ID encoder; by default `arcface.onnx` beside the published files or in the folder above,
            where it is.
        on_progress: called as `("convert", bytes done, bytes in all)`.

    Returns:
        `output`.

    Raises:
        CheckpointError: a file is missing, is no checkpoint, holds more than tensors, or has a key missing,
            surplus or misshapen.
        UserError: another argument is wrong, or `output` cannot be written.
    """
    weight_dtype = _find_dtype(dtype)
    output = Path(output)
    _check_output(output)
    svd, published = Path(svd), _find_published(Path(source))
    files = {name: published / name for name in PUBLISHED_FILES} | {VAE_FILE: _find_svd(svd)}
    id_model = _find_id_model(published, arcface)
    config = check_config(config or {})
    networks, scheduler = build_networks(config, svd), build_scheduler(config, svd)
    components = _plan(networks, files, weight_dtype)

    total = sum(component.num_bytes for component in components) + (id_model.stat().st_size if id_model else 0)
    _check_disk(output, total)
    done = 0

    def report(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        if on_progress is not None:
            on_progress("convert", done, total)

    with _written_aside(output) as folder:
        for component in components:
            _write_component(component, files, folder / component.name, report)
        scheduler.save_config(folder / "scheduler")
        if id_model is not None:
            (folder / "id_encoder").mkdir()
            shutil.copyfile(id_model, folder / "id_encoder" / "arcface.onnx")
            report(id_model.stat().st_size)
        (folder / "pipeline.py").write_text(PIPELINE_CODE, encoding="utf-8")
        _write_json(folder / "model_index.json", _model_index(find_resolution(config)))
    return output


# -- What is asked for -----------------------------------------------------------------------------------------


def _find_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if (dtype is not None and found is None) or (found is not None and found not in DTYPES.values()):
        raise UserError(f"There is no type {dtype!r} to convert to; use {', '.join(DTYPES)}.")
    return found


def _check_output(output: Path) -> None:
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; give a folder that does not exist yet.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; give a folder that does not exist yet.")
    if output.is_symlink() or os.path.ismount(output) or output.resolve() == Path.cwd():
        raise UserError(
            f"{output} is a link, a mount or the folder worked in, which a finished folder cannot take the place "
            "of; give a folder that does not exist yet."
        )


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
    names = ["vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors"]
    needed = ["vae/config.json", "scheduler/scheduler_config.json", "unet/config.json"]
    missing = [name for name in needed if not (svd / name).exists()]
    found = [svd / name for name in names if (svd / name).exists()]
    if not found:
        missing.append(" or ".join(names))
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
        return torch.float32 if component == "motion_extractor" else dtype or stored_dtype

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
    own = "diffusers_hunyuan_portrait"
    return {
        "_class_name": "HunyuanPortraitPipeline",
        "_diffusers_version": diffusers.__version__,
        "im_adapter": [own, "IMAdapter"],
        "motion_extractor": [own, "MotionExtractor"],
        "pose_guider": [own, "PoseGuider"],
        "resolution": resolution,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "unet": [own, "HunyuanPortraitUNet"],
        "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
    }


# -- Writing ---------------------------------------------------------------------------------------------------


def _nearest_folder(path: Path) -> Path:
    """The nearest of the folders above `path` that exists."""
    return next(folder for folder in path.absolute().parents if folder.exists())


def _check_disk(output: Path, num_bytes: int) -> None:
    place = _nearest_folder(output)
    free, needed = shutil.disk_usage(place).free, num_bytes + DISK_MARGIN
    if free < needed:
        raise UserError(
            f"{output} will take {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free in {place}."
        )


@contextmanager
def _written_aside(output: Path) -> Iterator[Path]:
    """A folder to write into that becomes `output` at the end, and vanishes where that is not reached."""
    aside = _nearest_folder(output) / f".{output.name}.{uuid.uuid4().hex}"
    try:
        aside.mkdir()
        yield aside
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists():
            output.rmdir()  # only an empty folder can be removed so
        aside.rename(output)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise UserError(f"{output} cannot be written: {error}.") from error
    except BaseException:  # an interrupt by the keyboard, too
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _write_component(
    component: Component, files: Mapping[str, Path], folder: Path, report: Callable[[int], None]
) -> None:
    """Writes a network's config and weights, in shards that are read one after the other."""
    component.network.save_config(folder)
    pattern = "diffusion_pytorch_model{suffix}.safetensors"
    split = split_torch_state_dict_into_shards(
        dict(component.weights), filename_pattern=pattern, max_shard_size=SHARD_SIZE
    )
    for file, keys in split.filename_to_tensors.items():
        shard = _read_shard(component, keys, files, report)
        save_file(shard, folder / file, metadata={"format": "pt"})
        del shard  # before the next is read
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        _write_json(folder / (pattern.format(suffix="") + ".index.json"), index)


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


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
