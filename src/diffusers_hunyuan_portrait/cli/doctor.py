"""`hunyuan-portrait doctor`: what is installed, what would be used, and what is missing for which feature."""

import platform
from importlib import metadata

import av
import torch
from rich.console import Console
from rich.table import Table

from ..face import resolve_detector
from ..loading import choose_device, choose_dtype

# Each feature that a plain installation may lack, the packages of which any one gives it, and what brings it.
FEATURES = {
    "identity from ArcFace (ID vectors are zeros without it)": (
        ("onnxruntime", "onnxruntime-gpu"),
        "pip install onnxruntime",
    ),
    "detector insightface": (("insightface",), "pip install 'diffusers-hunyuan-portrait[insightface]'"),
    "model, group and sequential offload": (("accelerate",), "pip install accelerate"),
}


def doctor() -> None:
    """Show what is installed, what would be used, and what is missing for which feature."""
    device = choose_device()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("diffusers-hunyuan-portrait", metadata.version("diffusers-hunyuan-portrait"))
    table.add_row("Python", platform.python_version())
    for package in ("torch", "diffusers", "transformers", "accelerate", "onnxruntime", "insightface", "av"):
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

    missing = {
        feature: remedy for feature, (packages, remedy) in FEATURES.items() if not any(map(_version, packages))
    }
    console.print("\nMissing:" if missing else "\nNothing is missing.")
    for feature, remedy in missing.items():
        console.print(f"  {feature}: {remedy}", soft_wrap=True, markup=False)
    if device.type == "cpu":
        console.print("No GPU was found: a released model takes hours a clip on the CPU.")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _describe(device: torch.device) -> str:
    """A device with its name and memory, where it tells."""
    if device.type != "cuda":
        return device.type
    properties = torch.cuda.get_device_properties(device)
    return f"cuda ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)"
