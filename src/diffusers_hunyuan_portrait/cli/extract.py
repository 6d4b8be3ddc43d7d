"""`hunyuan-portrait extract`: the motion in a driving clip, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..face import check_choice, check_crop, load_detector
from ..hub.dwpose import load_pose_estimator
from ..loading import DEFAULT_MODEL, choose_device, choose_dtype, load_pipeline
from ..media.paths import writable_folder
from ..motion import SUFFIX
from ..poses import check_pose
from . import options
from .display import StageProgress, ask_to_accept, console, in_megabytes, is_on_terminal


def extract(
    driving: Annotated[Path, typer.Argument(help="The clip whose face moves.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help=f"The motion to write: {SUFFIX}.")],
    model: options.Model = DEFAULT_MODEL,
    accept_licences: options.AcceptLicences = False,
    start: options.Start = "0",
    end: options.End = None,
    fps: options.Fps = None,
    detector: options.Detector = "auto",
    detector_path: options.DetectorPath = None,
    detect_every: options.DetectEvery = 1,
    driving_face: options.DrivingFace = "largest",
    smooth: options.Smooth = False,
    crop: options.Crop = "first",
    pose: options.Pose = "none",
    pose_path: options.PosePath = None,
    device: options.Device = "auto",
) -> None:
    """Write the motion of the face in DRIVING, without a picture of it, to animate any portrait with.

    It goes with models that have the same encoders.
    """
    if output.suffix.lower() != SUFFIX:
        raise UserError(f"The output {output} does not end in {SUFFIX}, as the file of a motion does.")
    writable_folder(output.parent)
    check_crop(crop)
    check_choice(driving_face)
    check_pose(pose)
    clip = options.Stretch.parse(start, end, fps).open(driving)
    chosen = choose_device(device)
    finder = load_detector(detector, device=chosen, path=detector_path)
    with StageProgress() as progress:
        estimator = load_pose_estimator(pose, device=chosen, path=pose_path, on_progress=in_megabytes(progress))
        pipe = load_pipeline(
            model,
            chosen,
            choose_dtype("auto", chosen),
            accept_licences=accept_licences or (ask_to_accept if is_on_terminal() else False),
            on_progress=in_megabytes(progress),
        )
        motion = pipe.prepare_motion(
            clip,
            detector=finder,
            detect_every=detect_every,
            driving_face=driving_face,
            smooth=smooth,
            crop=crop,
            pose=estimator or "none",
            on_progress=progress,
        )
    motion.of_encoders(pipe.motion_extractor).save(output)
    console.print(f"Wrote {output}: the motion of {len(motion)} frames", soft_wrap=True, markup=False)
