"""`hunyuan-portrait batch`: many videos by one loaded model, those that are missing."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import UserError
from ..jobs import Job, read_jobs
from ..loading import DEFAULT_MODEL
from ..motion import DrivingMotion
from . import options
from .display import console
from .making import OF_THE_MODEL, Model, Video, load_estimator, loaded, make_showing
from .wording import animate_command, video_of_words


def batch(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS",
            help="A CSV file with the columns portrait, driving and output, and options of `animate` as others.",
            show_default=False,
        ),
    ],
    model: options.Model = DEFAULT_MODEL,
    accept_licences: options.AcceptLicences = False,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let paths lead out of the folder that JOBS is in.")
    ] = False,
    detector: options.Detector = "auto",
    detector_path: options.DetectorPath = None,
    pose: options.Pose = "none",
    pose_path: options.PosePath = None,
    lora: options.Lora = None,
    weights: options.Weights = "none",
    solver: options.Solver = "",
    compile: options.Compile = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    offload: options.Offload = "none",
) -> None:
    """Make the videos of JOBS that are not there yet; those that fail are listed, and the others made."""
    command = animate_command()
    columns = {parameter.name for parameter in command.params if parameter.name} - OF_THE_MODEL - {"help"}
    jobs = read_jobs(table, columns - {"portrait", "driving", "output"}, allow_outside=allow_outside)
    missing = [job for job in jobs if not job.output.exists()]
    console.print(f"{len(jobs)} jobs, of which {len(jobs) - len(missing)} are done.")
    if not missing:
        return
    chosen = Model.of_options(
        model,
        accept_licences=accept_licences,
        detector=detector,
        detector_path=detector_path,
        device=device,
        dtype=dtype,
        offload=offload,
        lora=lora,
        weights=weights,
        solver=solver,
        compile=compile,
        pose=pose,
        pose_path=pose_path,
    )
    failures: list[tuple[Job, str]] = []
    estimator = load_estimator(chosen)
    with loaded(chosen) as (pipe, finder):
        last_motion: tuple[Any, DrivingMotion] | None = None
        for number, job in enumerate(missing, start=1):
            console.print(f"{number} of {len(missing)}: {job.output.name}", soft_wrap=True, markup=False)
            try:
                video = video_of_words(command, job.portrait, job.driving, job.output, job.words, pose)
                picture, driving = video.open()
                if video.settings["compare"] is None:  # which needs the clip's pictures too
                    last_motion = _read(pipe, finder, estimator, video, driving, last_motion)
                    driving = last_motion[1]
                make_showing(video, pipe, finder, picture, driving, model, estimator)
            except UserError as error:
                failures.append((job, str(error)))
                console.print(f"[yellow]Skipped:[/] line {job.line}: {escape(str(error))}", soft_wrap=True)
    if failures:
        console.print(f"{len(failures)} of {len(missing)} failed:")
        for job, sentence in failures:
            console.print(f"  line {job.line}, {job.output.name}: {sentence}", soft_wrap=True, markup=False)
        raise typer.Exit(1)


def _read(
    pipe: Any, finder: Any, estimator: Any, video: Video, driving: Any, last: Any
) -> tuple[Any, DrivingMotion]:
    """The motion that drives a video, with what it is of: that of the job before where it is the same."""
    names = ("driving_face", "crop", "detect_every", "smooth")
    key = video.driving.resolve(), video.stretch, tuple(video.settings[name] for name in names)
    if last is not None and last[0] == key:
        return last
    if isinstance(driving, DrivingMotion):
        return key, driving
    settings = {name: video.settings[name] for name in names}
    return key, pipe.prepare_motion(driving, detector=finder, pose=estimator or "none", **settings)
