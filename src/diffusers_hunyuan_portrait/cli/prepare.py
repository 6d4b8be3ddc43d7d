"""`hunyuan-portrait prepare`: films to clips that can be trained on."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..dataset import PrepareSettings, Rules
from ..dataset import prepare as run_preparation
from ..dataset.preparation import NEAR_LOSSLESS, REPORT
from . import options
from .display import StageProgress, console

MOST_ROWS = 40  # of refusals that the terminal shows; the report has all


def prepare(
    videos: Annotated[
        Path,
        typer.Argument(help="A folder of videos, a .txt list of their paths, or one video.", show_default=False),
    ],
    output: Annotated[Path, typer.Argument(help="The folder to store the clips in.", show_default=False)],
    size: Annotated[int, typer.Option(help="Side of the clips' square, in pixels.")] = Rules.size,
    min_frames: Annotated[int, typer.Option(help="The shortest clip.")] = Rules.min_frames,
    max_frames: Annotated[int, typer.Option(help="The longest clip; longer ones are divided.")] = Rules.max_frames,
    min_face: Annotated[
        int, typer.Option(help="The least side of a face in the film, in pixels.")
    ] = Rules.min_face,
    crf: Annotated[
        int, typer.Option(help="Quality of the stored frames: 0 is lossless, 51 the worst.")
    ] = NEAR_LOSSLESS,
    clips_per_shard: Annotated[int, typer.Option(min=1, help="Clips in one tar file.")] = 64,
    detector: Annotated[
        str, typer.Option(help="What finds the faces: auto, insightface, mtcnn or yoloface.")
    ] = "auto",
    detector_path: Annotated[
        Path | None, typer.Option(help="Where insightface's model pack or yoloface_v5m.pt is.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A model's folder, for --latents and --expression.", show_default=False),
    ] = None,
    latents: Annotated[bool, typer.Option("--latents", help="Store what the model's VAE makes of them.")] = False,
    expression: Annotated[
        bool, typer.Option("--expression", help="Store the model's numbers of expression and head pose.")
    ] = False,
    anchors: Annotated[
        int, typer.Option(help="Random frames a clip that expressions are taken relative to.")
    ] = PrepareSettings.anchors,
    pose: options.Pose = "none",
    pose_path: options.PosePath = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 … or mps.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes.", show_default="half as many as there are cores")
    ] = None,
) -> None:
    """Cut films into clips of one face, and store them as WebDataset shards; run again, it goes on."""
    settings = PrepareSettings(
        rules=Rules(size=size, min_frames=min_frames, max_frames=max_frames, min_face=min_face),
        crf=crf,
        detector=detector,
        detector_path=detector_path,
        model=model,
        latents=latents,
        expression=expression,
        anchors=anchors,
        device=device,
        pose=pose,
        pose_path=pose_path,
    )
    with StageProgress() as progress:
        report = run_preparation(
            videos,
            output,
            settings,
            workers=max(1, (os.cpu_count() or 1) // 2) if workers is None else workers,
            clips_per_shard=clips_per_shard,
            on_progress=progress,
        )
    if report["refusals"]:
        console.print(_table(report["refusals"][:MOST_ROWS]))
        for reason, sum_ in report["refused"].items():
            console.print(f"Refused for {reason}: {sum_['places']} places, {sum_['seconds']:.1f} s", markup=False)
    console.print(
        f"{output} has {report['clips']} clips of {report['films']} videos, {report['seconds']:.1f} s in all; "
        f"{output / REPORT} says what was refused.",
        soft_wrap=True,
        markup=False,
    )


def _table(refusals: list[dict[str, Any]]) -> Table:
    table = Table(title="Refused", title_justify="left", box=None, pad_edge=False)
    for heading in ("video", "seconds", "frames", "reason"):
        table.add_column(heading, overflow="fold")
    for refusal in refusals:
        reason = refusal["reason"] + (f": {refusal['detail']}" if refusal["detail"] else "")
        when = f"{refusal['start']:.2f}–{refusal['end']:.2f}"
        table.add_row(*map(escape, (refusal["video"], when, str(refusal["frames"]), reason)))
    return table
