"""From what a user calls a model to a pipeline, on the best device there is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from .convert.checkpoint import DTYPES
from .errors import UserError
from .hub.consent import AcceptLicences
from .hub.converted import CLASSES, choose_variant, fetch_converted, list_folder, read_index
from .hub.fetching import list_files
from .hub.originals import PUBLISHED, HubName, find_place, find_ready, prepare
from .model_folder import INDEX
from .pipeline import HunyuanPortraitPipeline
from .progress import Progress
from .tiny import make_tiny

DEFAULT_MODEL = PUBLISHED
ADVICE = f"give a folder that `hunyuan-portrait convert` wrote, or a repository on the Hub, as {DEFAULT_MODEL}"
MODEL_VARIABLE = "HUNYUAN_PORTRAIT_MODEL"  # in the environment: the model, where none is given
OFFLOADS = ("none", "model", "sequential", "group")
COMPRESSIONS = ("none", "fp8", "int8")


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; for "auto" CUDA, else MPS, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available[:0] = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise UserError(f"There is no device {name!r} here; there is {', '.join(available)}.")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type called `name`; for "auto" half precision, as the released weights are shown with, and float32 on
    the CPU, where half precision is slower.

    Raises:
        UserError: there is no such type.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    if name not in DTYPES:
        raise UserError(f"There is no type {name!r}; use auto, {', '.join(DTYPES)}.")
    return DTYPES[name]


def check_offload(offload: str, device: torch.device) -> None:
    """Sees that there is such an offload on that device.

    Raises:
        UserError: there is not.
    """
    if offload not in OFFLOADS:
        raise UserError(f"There is no offload {offload!r}; use one of {', '.join(OFFLOADS)}.")
    if offload != "none" and device.type == "cpu":
        raise UserError(f"Offload {offload!r} moves weights between a GPU and the CPU, but this runs on the CPU.")


def check_settings(**settings: Any) -> None:
    """Checks a run's settings before there is a model: as its `check_inputs` does, at the released one's sizes.

    Raises:
        UserError: one of them is out of range for any model.
    """
    no_networks: dict[str, Any] = dict.fromkeys(
        ("im_adapter", "motion_extractor", "pose_guider", "unet", "vae", "scheduler")
    )
    HunyuanPortraitPipeline(**no_networks).check_inputs(**settings)


def load_pipeline(
    model: str | Path = DEFAULT_MODEL,
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    offload: str = "none",
    *,
    accept_licences: AcceptLicences = False,
    on_progress: Progress | None = None,
) -> HunyuanPortraitPipeline:
    """The pipeline that `model` names, in eval mode, ready to run.

    Args:
        model: a folder that `convert_checkpoint` or `save_pretrained` wrote; a repository on the Hub, as
            "owner/name" or "owner/name@revision"; or one of `PACKAGED`, by its name: "drawn-faces", a small model
            for faces as `drawn_faces` draws them; or "tiny", whose weights are untrained and whose pictures are
            noise, for checking an installation. A repository has a converted model, or the original checkpoints,
            which are fetched and converted once and found in the cache from then on.
        device: what it runs on, or its name; "auto" takes the best there is.
        dtype: type of its weights, but of the motion extractor, which stays in float32; or "auto", "fp16", "bf16"
            or "fp32".
        offload: which weights are on the device: with "none" all of them, with "model" the network in use, with
            "group" and "sequential" the layer in use; on CUDA "group" fetches the next one meanwhile.
        accept_licences: whether the licences of the original checkpoints are accepted, or who is asked where they
            were not yet: called with a `hub.consent.Notice`, whose text says sizes and terms, for yes or no.
        on_progress: told of the stages "download", "check" and "convert", in bytes.

    Raises:
        UserError: it is not a model, or it is damaged or not to be had, or licences were not accepted, or the
            offload is unknown or needs a GPU.
    """
    device = choose_device(device) if isinstance(device, str) else device
    dtype = choose_dtype(dtype, device) if isinstance(dtype, str) else dtype
    check_offload(offload, device)
    if str(model) in PACKAGED:
        pipe = PACKAGED[str(model)](dtype)
    else:
        pipe = _load_folder(*_find_folder(model, dtype, accept_licences, on_progress), dtype)
    place(pipe, device, offload)
    return pipe


def place(pipe: HunyuanPortraitPipeline, device: torch.device, offload: str = "none") -> None:
    """Has a pipeline run on `device`, with its weights there as `offload` says (see `load_pipeline`)."""
    if offload == "none":
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.enable_group_offload(
            onload_device=device, offload_type="leaf_level", use_stream=device.type == "cuda"
        )


def check_compression(weights: str) -> None:
    """Sees that there is such a compression.

    Raises:
        UserError: there is not.
    """
    if weights not in COMPRESSIONS:
        raise UserError(f"There is no compression {weights!r}; use one of {', '.join(COMPRESSIONS)}.")


def compress(pipe: HunyuanPortraitPipeline, weights: str) -> None:
    """Keeps the UNet's weights in fewer bytes; they are widened again where they are used. Changes the picture.

    Args:
        weights: "fp8", half of half precision; "int8", the same with a scale for each row, by torchao; "none".

    Raises:
        UserError: there is no such compression, or torchao is not installed.
    """
    check_compression(weights)
    if weights == "fp8":
        pipe.unet.enable_layerwise_casting(torch.float8_e4m3fn, pipe.unet.dtype)
    elif weights == "int8":
        try:
            from torchao.quantization import Int8WeightOnlyConfig, quantize_
        except ImportError as error:
            raise UserError(
                "int8 weights need torchao; install it with `pip install 'diffusers-hunyuan-portrait[torchao]'`."
            ) from error
        quantize_(pipe.unet, Int8WeightOnlyConfig())


def load_lora(pipe: HunyuanPortraitPipeline, source: str) -> None:
    """Loads a LoRA, and, where it is a student of few steps, the scheduler that it is sampled by.

    Args:
        source: a file, a folder, or a repository on the Hub.

    Raises:
        UserError: it is none, or not for this model; nothing is changed.
    """
    pipe.load_lora_weights(source)
    scheduler = Path(source) / "scheduler"
    if scheduler.is_dir():
        pipe.scheduler = type(pipe.scheduler).from_pretrained(scheduler)


def find_prepared(model: str) -> Path | None:
    """Where the model of a repository of originals is, once it is converted; the network is not asked."""
    name = HubName.parse(model)
    return None if name is None else find_ready(name)


def _find_folder(
    model: str | Path, dtype: torch.dtype, accept_licences: AcceptLicences, on_progress: Progress | None
) -> tuple[Path, str]:
    """The folder of the model, which is fetched and converted where need be, and what to do if it is damaged."""
    if Path(model).exists():
        return Path(model), "convert it again"
    name = HubName.parse(model) if isinstance(model, str) else None
    if name is None:
        raise UserError(f"There is no model {model}; {ADVICE}, or one of this package: {', '.join(PACKAGED)}.")
    prepared = find_ready(name)
    if prepared is None:
        try:
            files = list_files(name.repository, name.revision)
        except UserError as error:
            cause = error.__cause__
            if not isinstance(cause, RepositoryNotFoundError) or isinstance(cause, GatedRepoError):
                raise
            raise UserError(f"{error} Nor is there a folder {model}.") from error
        if INDEX in files:
            fetched = fetch_converted(files, name.revision, dtype, on_progress)
            return fetched, f"fetch it again after `hf cache rm model/{name.repository}`"
        if find_place(files) is None:
            raise UserError(
                f"{name} holds neither a converted model, which has a {INDEX}, nor original checkpoints; {ADVICE}."
            )
        prepared = prepare(name, files, accept_licences=accept_licences, on_progress=on_progress)
    return prepared, "remove that folder and run again"


def _load_folder(folder: Path, if_damaged: str, dtype: torch.dtype) -> HunyuanPortraitPipeline:
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, not a model; {ADVICE}.")
    if not (folder / INDEX).is_file():
        files = [path.relative_to(folder).as_posix() for place in ("*", "*/*") for path in folder.glob(place)]
        if find_place(files) is not None:
            raise UserError(
                f"{folder} holds original checkpoints; convert them once by `hunyuan-portrait convert {folder} "
                "--svd DIR --output DIR`, and give what that writes."
            )
    read_index(folder, ADVICE, if_damaged)
    try:
        # Safetensors alone: where they are missing, the library would look for pickles.
        pipe = HunyuanPortraitPipeline.from_pretrained(
            folder,
            variant=choose_variant(list_folder(folder), dtype),
            use_safetensors=True,
            dtype=dtype,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # configs and weights that do not go together make the library fail in any way
        reason = " ".join(str(error).split())
        raise UserError(f"The model in {folder} is incomplete or damaged ({reason}); {if_damaged}.") from error
    _check_networks(pipe, folder, if_damaged)
    return pipe


def _check_networks(pipe: HunyuanPortraitPipeline, folder: Path, if_damaged: str) -> None:
    """Sees that every network is of its class and has all its weights; the library at most warns.

    Raises:
        UserError: one is not, or has not.
    """
    kinds: dict[str, type[torch.nn.Module]] = {**CLASSES, "vae": AutoencoderKLTemporalDecoder}
    if pipe.id_encoder is not None:
        kinds["id_encoder"] = torch.nn.Module  # of whatever class
    for name, kind in kinds.items():
        network = getattr(pipe, name)
        if not isinstance(network, kind):
            reason = f"its {name} is of the class {type(network).__name__}, not {kind.__name__}"
        else:
            missing = [key for key, weight in network.state_dict().items() if weight.is_meta]
            if not missing:
                continue
            reason = f"{folder / name} lacks {len(missing)} weights, {missing[0]} first"
        raise UserError(f"The model in {folder} is incomplete or damaged ({reason}); {if_damaged}.")


# -- The models that come with this package -----------------------------------------------------------------------

DRAWN_FACES = Path(__file__).with_name("drawn_faces") / "model"


def _load_drawn_faces(dtype: torch.dtype) -> HunyuanPortraitPipeline:
    """The small model that was trained on drawn faces.

    Raises:
        UserError: its weights are not there, or damaged.
    """
    if not (DRAWN_FACES / INDEX).is_file():
        raise UserError(
            f"The weights of drawn-faces are not in this installation ({DRAWN_FACES}); install a release of this "
            "package, which has them, or train them as recipes/drawn_faces does."
        )
    return _load_folder(DRAWN_FACES, "install this package again", dtype)


# Each by its name, with what gives its pipeline in a type.
PACKAGED: dict[str, Callable[[torch.dtype], HunyuanPortraitPipeline]] = {
    "drawn-faces": _load_drawn_faces,
    "tiny": make_tiny,
}
