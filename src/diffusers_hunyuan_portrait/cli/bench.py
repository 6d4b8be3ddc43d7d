"""`hunyuan-portrait bench`: what a run takes on this machine, beside the published program's arithmetic."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from ..benchmarking import (
    Measured,
    make_plain,
    make_released,
    measure_matrix_rate,
    measure_preprocessing,
    measure_run,
)
from ..errors import UserError
from ..loading import check_offload, choose_device, choose_dtype, load_pipeline, place
from ..pipeline import HunyuanPortraitPipeline
from .display import StageProgress, console

PLAIN, DEFAULT, COMPILED = "plain", "default", "compiled"
GB = 1e9


def bench(
    model: Annotated[
        str | None,
        typer.Option(help="As `animate` takes it.", show_default="the released sizes, made-up weights"),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Length of the driving clip.")] = 120,
    size: Annotated[
        int | None, typer.Option(help="Side of the square as it is made.", show_default="the model's")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 25,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp16, bf16 or fp32.")] = "auto",
    offload: Annotated[str, typer.Option(help="As `animate` takes it.")] = "none",
    compare: Annotated[
        bool, typer.Option("--compare", help="Run the published program's arithmetic beside it, nothing spared.")
    ] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Run with compiled blocks too.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="A file for all that is measured.", show_default=False)
    ] = None,
) -> None:
    """Measure what a run takes on this machine: time, operations and memory."""
    if json_file is not None and not json_file.parent.is_dir():
        raise UserError(f"There is no folder {json_file.parent} for {json_file.name}.")
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    check_offload(offload, chosen_device)
    started = time.perf_counter()
    pipe = _load(model, chosen_device, chosen_dtype, offload)
    facts: dict[str, Any] = {
        "model": model or "released sizes, made-up weights",
        "device": _name(chosen_device),
        "dtype": str(chosen_dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "offload": offload,
        "frames": frames,
        "size": size or pipe.config.resolution,
        "steps": steps,
        "load_s": time.perf_counter() - started,
        "matrix_tflops": measure_matrix_rate(chosen_device, chosen_dtype),
    }
    with StageProgress() as progress:
        conditions, preprocessing = measure_preprocessing(pipe, facts["size"], frames, report=progress)
    settings = {"num_inference_steps": steps}
    runs = []
    if compare:
        runs.append(_measure(make_plain(pipe), conditions, PLAIN, settings))
        pipe.unet.set_default_attn_processor()
    runs.append(_measure(pipe, conditions, DEFAULT, settings))
    if compile:
        runs.append(_measure(pipe, conditions, COMPILED, settings, compiled=True))
    facts |= preprocessing | {"runs": [run.to_dict() for run in runs]}
    if json_file is not None:
        json_file.write_text(json.dumps(facts, indent=1) + "\n")
    _show(facts, runs)


def _load(model: str | None, device: torch.device, dtype: torch.dtype, offload: str) -> HunyuanPortraitPipeline:
    if model is not None:
        return load_pipeline(model, device, dtype, offload)
    pipe = make_released(dtype, "cpu" if offload != "none" else device)
    place(pipe, device, offload)
    return pipe


def _measure(
    pipe: HunyuanPortraitPipeline, conditions: Any, setting: str, settings: dict[str, Any], compiled: bool = False
) -> Measured:
    console.print(f"Running {setting} …")
    with StageProgress() as progress:
        return measure_run(pipe, conditions, setting, compiled=compiled, report=progress, **settings)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _show(facts: dict[str, Any], runs: list[Measured]) -> None:
    output = Console(highlight=False)
    named = ("model", "device", "dtype", "torch", "offload", "frames", "size", "steps")
    overview = Table(show_header=False, box=None, pad_edge=False)
    for name in named:
        overview.add_row(name, str(facts[name]))
    overview.add_row("loading", f"{facts['load_s']:.1f} s")
    overview.add_row("finding faces", f"{1000 * facts['detect_s']:.0f} ms a frame")
    overview.add_row("with encoding", f"{1000 * facts['prepare_s']:.0f} ms a frame")
    overview.add_row("products of matrices", f"{facts['matrix_tflops']:.2f} TFLOP a second")
    output.print(overview)
    table = Table(
        "", *(run.setting for run in runs), *([f"{runs[0].setting} ÷ {runs[-1].setting}"] if runs[1:] else [])
    )
    rows: list[tuple[str, str, list[float]]] = [
        ("UNet calls a window and step", "{:.0f}", [run.unet_calls for run in runs]),
        ("TFLOP a window and step", "{:.3g}", [run.window_step_tflop for run in runs]),
        ("of attention's products", "{:.3g}", [run.attention_tflop for run in runs]),
        ("seconds a window and step", "{:.3f}", [run.window_step_s for run in runs]),
        ("share of the matrix rate", "{:.0%}", [run.matrix_share(facts["matrix_tflops"]) for run in runs]),
        ("decoding, ms a frame", "{:.0f}", [1000 * run.decode_s for run in runs]),
        ("the whole, seconds", "{:.1f}", [run.whole_s for run in runs]),
        ("GPU memory, GB", "{:.2f}", [run.device_bytes / GB for run in runs]),
        ("the process's memory so far, GB", "{:.2f}", [run.host_bytes / GB for run in runs]),
    ]
    for name, form, values in rows:
        ratio = [f"{values[0] / values[-1]:.2f}" if values[-1] else ""] if runs[1:] else []
        table.add_row(name, *(form.format(value) for value in values), *ratio)
    output.print(table)
