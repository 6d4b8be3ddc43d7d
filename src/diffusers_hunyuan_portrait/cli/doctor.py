"""`hunyuan-portrait doctor`: what is installed, what would be used, and what is missing for which feature."""

import os
import platform
from importlib import metadata
from pathlib import Path

import av
import torch
from rich.console import Console
from rich.table import Table

from ..errors import UserError
from ..face import DETECTORS, missing_for_detector, resolve_detector
from ..hub.dwpose import missing_for_pose
from ..loading import (
    DEFAULT_MODEL,
    MODEL_VARIABLE,
    PACKAGED,
    choose_device,
    choose_dtype,
    find_prepared,
)
from ..provenance import find_networks


def doctor() -> None:
    """Show what is installed, what would be used, and what is missing for which feature."""
    device = choose_device()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("diffusers-hunyuan-portrait", metadata.version("diffusers-hunyuan-portrait"))
    table.add_row("Python", platform.python_version())
    for package in (
        "torch",
        "diffusers",
        "transformers",
        "accelerate",
        "onnxruntime",
        "insightface",
        "rtmlib",
        "av",
    ):
        table.add_row(package, _version(package) or "not installed")
    table.add_row("OpenCV", _version("opencv-python-headless") or _version("opencv-python") or "not installed")
    table.add_row("device", _describe(device))
    table.add_row("dtype", str(choose_dtype("auto", device)).removeprefix("torch."))
    table.add_row("detector", resolve_detector("auto"))
    table.add_row(
        "video encoder", "libx264" if "libx264" in av.codecs_available else "missing: PyAV without libx264"
    )
    console = Console(highlight=False)
    console.print(table)
    model = _named_model()
    console.print(f"model  {model} ({_find_model(model) or 'not here yet'})", soft_wrap=True, markup=False)

    missing = _missing()
    console.print("\nMissing:" if missing else "\nNothing is missing.")
    for sentence in missing:
        console.print(f"- {sentence}", soft_wrap=True, markup=False)
    if device.type == "cpu":
        console.print("\nThere is no GPU: a model of the released size takes hours a clip on the CPU.")


def _missing() -> list[str]:
    """A sentence for each feature that cannot be used as things are, and what would bring it."""
    sentences = [*(missing_for_detector(name) for name in DETECTORS), missing_for_pose()]
    if not (_version("onnxruntime") or _version("onnxruntime-gpu")):
        sentences.append("The portrait's identity needs onnxruntime; install it with `pip install onnxruntime`.")
    if not _version("accelerate"):
        sentences.append("Offload needs accelerate; install it with `pip install accelerate`.")
    try:
        find_networks()
    except UserError as error:
        sentences.append(str(error))
    model = _named_model()
    if _find_model(model) is None:
        sentences.append(
            f"The model {model} is not here yet; `animate` fetches it at its first run, or takes another by "
            f"--model or {MODEL_VARIABLE}."
        )
    return [sentence for sentence in sentences if sentence]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _named_model() -> str:
    """The model that `animate` takes where it is given none."""
    return os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


def _find_model(model: str) -> str | None:
    """Where a model is that `animate` need not fetch; `None` where it is not here."""
    if model in PACKAGED:
        return "in this package"
    if Path(model).exists():
        return "a folder"
    prepared = find_prepared(model)
    return None if prepared is None else f"ready in {prepared}"


def _describe(device: torch.device) -> str:
    """A device with its name and memory, where it tells."""
    if device.type != "cuda":
        return device.type
    properties = torch.cuda.get_device_properties(device)
    return f"cuda ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)"
