"""What each switch saves, and what it does to the picture: work, time, memory, and distances.

python benchmarks/switches.py [--model drawn-faces] [--pairs 4] [--steps 25] [--student FOLDER] [--json FILE]

Every switch runs in a process of its own, so that its memory is its own, on the same drawn pairs and noise.
Differences are from the default setting; the distance to the truth is of what was drawn as the pair asks for.
"""

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.benchmarking import decode, make_plain, measure_run, sample
from diffusers_hunyuan_portrait.evaluation import make_pairs
from diffusers_hunyuan_portrait.evaluation.figures import HIGHEST_PSNR, psnr
from diffusers_hunyuan_portrait.evaluation.run import prepare_pair
from diffusers_hunyuan_portrait.loading import choose_device, choose_dtype, compress, load_pipeline
from diffusers_hunyuan_portrait.sampling import make_solver

GB = 1e9


@dataclass(frozen=True)
class Switch:
    """A way to run a model.

    Args:
        prepare: gives the pipeline to run.
        settings: of its call.
        compiled: whether the UNet's blocks are.
    """

    prepare: Callable[[HunyuanPortraitPipeline], HunyuanPortraitPipeline] = lambda pipe: pipe
    settings: dict[str, Any] = field(default_factory=dict)
    compiled: bool = False


def _channels_last(pipe: HunyuanPortraitPipeline) -> HunyuanPortraitPipeline:
    for network in (pipe.unet, pipe.vae):
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)
    return pipe


def _solved_by(solver: str) -> Callable[[HunyuanPortraitPipeline], HunyuanPortraitPipeline]:
    def prepare(pipe: HunyuanPortraitPipeline) -> HunyuanPortraitPipeline:
        pipe.scheduler = make_solver(solver, pipe.scheduler)
        return pipe

    return prepare


def _compressed(weights: str) -> Callable[[HunyuanPortraitPipeline], HunyuanPortraitPipeline]:
    def prepare(pipe: HunyuanPortraitPipeline) -> HunyuanPortraitPipeline:
        compress(pipe, weights)
        return pipe

    return prepare


def _taught(folder: Path) -> Callable[[HunyuanPortraitPipeline], HunyuanPortraitPipeline]:
    def prepare(pipe: HunyuanPortraitPipeline) -> HunyuanPortraitPipeline:
        pipe.load_lora_weights(folder)
        pipe.scheduler = EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
        return pipe

    return prepare


def switches(steps: int, student: Path | None) -> dict[str, Switch]:
    """All that is compared; the default comes first, as the others are measured from it.

    Args:
        steps: of the default.
        student: folder of a LoRA of the stage *consistency*, made for 4 steps without guidance.
    """
    unguided = {"appearance_guidance_scale": 1.0, "motion_guidance_scale": 1.0}
    taught = (
        {}
        if student is None
        else {"student, 4 steps": Switch(_taught(student), unguided | {"num_inference_steps": 4})}
    )
    fewer = {"num_inference_steps": math.ceil(0.4 * steps)}
    return {
        "default": Switch(),
        "plain": Switch(make_plain),
        "channels last": Switch(_channels_last),
        "--compile": Switch(compiled=True),
        f"--steps {fewer['num_inference_steps']}": Switch(settings=fewer),
        f"--steps {fewer['num_inference_steps']} --solver dpm++2m": Switch(_solved_by("dpm++2m"), fewer),
        "--guidance-interval 30:50": Switch(settings={"guidance_interval": (30.0, 50.0)}),
        "--cache-interval 2": Switch(settings={"cache_interval": 2}),
        "--cache-interval 3": Switch(settings={"cache_interval": 3}),
        "--weights fp8": Switch(_compressed("fp8")),
        "--weights int8": Switch(_compressed("int8")),
        **taught,
    }


@dataclass
class Outcome:
    """What one switch took, and the latents and frames that came out, pair by pair."""

    measured: dict[str, Any]
    latents: list[torch.Tensor]
    frames: list[np.ndarray]


def run(name: str, options: argparse.Namespace) -> Outcome:
    """Runs one switch over the pairs; the first is also timed and counted."""
    device = choose_device(options.device)
    switch = switches(options.steps, options.student)[name]
    pipe = load_pipeline(options.model, device, choose_dtype(options.dtype, device))
    prepared = [prepare_pair(pipe, pair) for pair in make_pairs(options.pairs)]
    pipe = switch.prepare(pipe)
    settings = {"num_inference_steps": options.steps} | switch.settings
    measured = measure_run(pipe, prepared[0], name, compiled=switch.compiled, **settings).to_dict()
    latents, frames = [], []
    for seed, conditions in enumerate(prepared):
        found = sample(pipe, conditions, seed=seed, **settings)
        latents.append(found.float().cpu())
        frames.append(torch.cat(list(decode(pipe, found, conditions))).permute(0, 2, 3, 1).numpy())
    return Outcome(measured, latents, frames)


def compare(outcome: Outcome, default: Outcome, truths: Sequence[np.ndarray]) -> dict[str, float]:
    """How far latents and frames are from the default's, and frames from the truth."""
    far = [(found - usual).abs() for found, usual in zip(outcome.latents, default.latents, strict=True)]
    return {
        "latents_largest": max(difference.max().item() for difference in far),
        "latents_mean": float(np.mean([difference.mean().item() for difference in far])),
        "psnr_to_default": _mean_psnr(outcome.frames, default.frames),
        "psnr_to_truth": _mean_psnr(outcome.frames, truths),
    }


def _mean_psnr(videos: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    return float(np.mean([psnr(video / 255, other / 255) for video, other in zip(videos, others, strict=True)]))


def to_markdown(rows: dict[str, dict[str, Any]]) -> str:
    """A table, a row a switch."""
    head = (
        "switch",
        "GFLOP a window and step",
        "seconds a window and step",
        "seconds in all",
        "memory, GB",
        "latents: largest difference",
        "mean",
        "frames to default, dB",
        "to the truth, dB",
    )
    lines = [" | ".join(head), " | ".join(["---"] + ["---:"] * (len(head) - 1))]
    for name, row in rows.items():
        work = 1000 * (row["window_step_tflop"] + row["attention_tflop"])
        memory = (row["device_bytes"] or row["host_bytes"]) / GB
        figures = [f"{work:.2f}", f"{row['window_step_s']:.3f}", f"{row['whole_s']:.2f}", f"{memory:.2f}"]
        figures += [f"{row['latents_largest']:.2g}", f"{row['latents_mean']:.2g}"]
        figures += ["same" if row["psnr_to_default"] == HIGHEST_PSNR else f"{row['psnr_to_default']:.1f}"]
        lines.append(" | ".join([f"`{name}`", *figures, f"{row['psnr_to_truth']:.2f}"]))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="drawn-faces", help="as `animate` takes it")
    parser.add_argument("--pairs", type=int, default=4, help="drawn pairs of 24 frames")
    parser.add_argument("--steps", type=int, default=25, help="denoising steps")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--only", nargs="*", help="names of switches; the default is run in any case")
    parser.add_argument("--student", type=Path, help="a LoRA of the stage consistency, with its scheduler")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    everything = switches(options.steps, options.student)
    names = [name for name in everything if not options.only or name in {"default", *options.only}]
    rows: dict[str, dict[str, Any]] = {}
    default = None
    for name in names:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            outcome = pool.submit(run, name, options).result()
        default = default or outcome
        side = outcome.frames[0].shape[1]
        truths = [pair.draw_truth(side) for pair in make_pairs(options.pairs)]
        rows[name] = outcome.measured | compare(outcome, default, truths)
        print(f"{name}: {rows[name]['whole_s']:.1f} s", flush=True)
    print(to_markdown(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
