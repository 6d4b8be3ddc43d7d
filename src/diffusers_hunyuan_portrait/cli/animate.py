"""`hunyuan-portrait animate`: a portrait and a driving clip to a video."""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ..animation import animate as run_animation
from ..errors import UserError
from ..face import check_choice, check_crop, load_detector
from ..loading import (
    DEFAULT_MODEL,
    check_compression,
    check_offload,
    check_settings,
    choose_device,
    choose_dtype,
    compress,
    load_lora,
    load_pipeline,
)
from ..media import check_output, parse_colour, read_image
from ..sampling import SOLVERS, Ranks, check_solver, make_solver
from . import options
from .display import StageProgress, ask_to_accept, console, in_megabytes, is_on_terminal
from .launched import joined


def parse_scale(text: str, option: str) -> float | tuple[float, float]:
    """ "2" as 2.0 and "1:3" as (1.0, 3.0).

    Raises:
        UserError: it is neither.
    """
    try:
        ends = [float(part) for part in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2):
        raise UserError(f"{option} is {text!r}; it must be a number, or two as FIRST:LAST.")
    return ends[0] if len(ends) == 1 else (ends[0], ends[1])


def animate(
    portrait: Annotated[Path, typer.Argument(help="The picture to animate.", show_default=False)],
    driving: Annotated[
        Path, typer.Argument(help="What drives it: a clip, or a motion by `extract`.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The video to write: .mp4, .m4v, .mov or .mkv.")],
    model: options.Model = DEFAULT_MODEL,
    accept_licences: options.AcceptLicences = False,
    start: options.Start = "0",
    end: options.End = None,
    fps: options.Fps = None,
    loop: Annotated[int, typer.Option(min=1, help="Rounds of DRIVING.")] = 1,
    boomerang: Annotated[
        bool, typer.Option("--boomerang", help="Run each round forwards and backwards, without sound.")
    ] = False,
    background: Annotated[str, typer.Option(help="What shows through a transparent portrait.")] = "white",
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Makes the run repeatable.", show_default="random")
    ] = None,
    crop_only: Annotated[
        bool, typer.Option("--crop-only", help="Write the animated square alone, not the whole portrait.")
    ] = False,
    detector: options.Detector = "auto",
    detector_path: options.DetectorPath = None,
    detect_every: options.DetectEvery = 1,
    portrait_face: options.PortraitFace = "largest",
    driving_face: options.DrivingFace = "largest",
    smooth: options.Smooth = False,
    crop: options.Crop = "first",
    height: Annotated[
        int | None, typer.Option(help="Height of the square as it is made.", show_default="the model's")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of the square as it is made.", show_default="the model's")
    ] = None,
    appearance_guidance_scale: Annotated[
        str, typer.Option(metavar="NUMBER|FIRST:LAST", help="How strongly the portrait is followed.")
    ] = "2.0",
    motion_guidance_scale: Annotated[
        str, typer.Option(metavar="NUMBER|FIRST:LAST", help="How strongly the driving motion is followed.")
    ] = "2.0",
    solver: Annotated[
        str, typer.Option(help=f"How steps are taken: {', '.join(SOLVERS)}.", show_default="the model's")
    ] = "",
    guidance_interval: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Guide only between these noise levels (σ).", show_default=False),
    ] = None,
    cache_interval: Annotated[
        int, typer.Option(help="Run the whole UNet every N steps, its outermost blocks in those between.")
    ] = 1,
    lora: Annotated[
        str | None, typer.Option(help="A LoRA: a file, a folder, or a repository on the Hub.", show_default=False)
    ] = None,
    weights: Annotated[str, typer.Option(help="The UNet's weights in memory: none, fp8 or int8.")] = "none",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the UNet's blocks first; pays where many clips follow.")
    ] = False,
    window_size: Annotated[int, typer.Option(help="Frames that are denoised together.")] = 25,
    window_overlap: Annotated[int, typer.Option(help="Frames that neighbouring windows share.")] = 3,
    window_shift: Annotated[int, typer.Option(help="Frames the windows move at each step.")] = 3,
    strength: Annotated[float, typer.Option(help="Below 1, start from a portrait less noised.")] = 1.0,
    decode_chunk_size: Annotated[int, typer.Option(help="Frames that are decoded together.")] = 8,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    offload: options.Offload = "none",
) -> None:
    """Animate PORTRAIT with the face in DRIVING."""
    # Before the model is fetched or loaded, which takes long: what cannot be used is told at once.
    check_output(output, inputs=(portrait, driving))
    scales = {
        "appearance_guidance_scale": parse_scale(appearance_guidance_scale, "--appearance-guidance-scale"),
        "motion_guidance_scale": parse_scale(motion_guidance_scale, "--motion-guidance-scale"),
    }
    interval = None if guidance_interval is None else parse_scale(guidance_interval, "--guidance-interval")
    if isinstance(interval, float):
        raise UserError(f"--guidance-interval is {guidance_interval!r}; it must be two numbers as LOW:HIGH.")
    check_compression(weights)
    check_crop(crop)
    check_choice(portrait_face)
    check_choice(driving_face)
    if solver:
        check_solver(solver)
    stretch = options.Stretch.parse(start, end, fps)
    behind = parse_colour(background)
    settings: dict[str, Any] = {
        "num_inference_steps": steps,
        "guidance_interval": interval,
        "cache_interval": cache_interval,
        "window_size": window_size,
        "window_overlap": window_overlap,
        "window_shift": window_shift,
        "strength": strength,
        **scales,
    }
    check_settings(height=height, width=width, decode_chunk_size=decode_chunk_size, **settings)
    picture, clip = read_image(portrait, behind), stretch.open(driving)
    with joined(choose_device(device)) as (chosen_device, shared):
        chosen_dtype = choose_dtype(dtype, chosen_device)
        check_offload(offload, chosen_device)
        finder = load_detector(detector, device=chosen_device, path=detector_path)
        with StageProgress() as progress, Ranks(shared=shared).first_goes_first():  # it may fetch and convert
            pipe = load_pipeline(
                model,
                chosen_device,
                chosen_dtype,
                offload,
                accept_licences=accept_licences or (ask_to_accept if is_on_terminal() else False),
                on_progress=in_megabytes(progress),
            )
        if shared:
            pipe.share_work()
        if lora is not None:
            load_lora(pipe, lora)
        compress(pipe, weights)
        if solver:
            pipe.scheduler = make_solver(solver, pipe.scheduler)
        if compile:
            pipe.unet.compile_repeated_blocks(fullgraph=True)
        seed = pipe.ranks.hand_out(lambda: torch.seed() % 2**32) if seed is None else seed
        console.print(f"Faces by {finder.name}, on {chosen_device} in {pipe.unet.dtype}, seed {seed}.")
        with StageProgress() as progress:
            run_animation(
                pipe,
                picture,
                clip,
                output,
                detector=finder,
                detect_every=detect_every,
                portrait_face=portrait_face,
                driving_face=driving_face,
                smooth=smooth,
                crop=crop,
                height=height,
                width=width,
                crop_only=crop_only,
                loop=loop,
                boomerang=boomerang,
                decode_chunk_size=decode_chunk_size,
                on_progress=progress,
                generator=torch.Generator("cpu").manual_seed(seed),
                **settings,
            )
        console.print(f"Wrote {output}", soft_wrap=True, markup=False)
