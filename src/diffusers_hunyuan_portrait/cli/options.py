"""Options that several commands have, and what becomes of their words."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ..errors import UserError
from ..face.skeletons.dwpose import DETECTOR_FILE, POSE_FILE, REPOSITORY
from ..hub.consent import ACCEPT_VARIABLE
from ..loading import MODEL_VARIABLE, PACKAGED
from ..media import DEFAULT_FRAME_RATE, Excerpt, check_excerpt, open_frames
from ..motion import SUFFIX, DrivingMotion
from ..poses import POSES
from ..sampling import SOLVERS

Model: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar=MODEL_VARIABLE,
        help="A repository on the Hub (owner/name or owner/name@revision), fetched and converted at its first "
        f"run; a folder written by `convert`; or one of this package: {', '.join(PACKAGED)}.",
    ),
]
AcceptLicences: TypeAlias = Annotated[
    bool,
    typer.Option("--accept-licences", help=f"Accept the model's licences unasked, as {ACCEPT_VARIABLE}=1 does."),
]
Start: TypeAlias = Annotated[
    str, typer.Option(metavar="TIME", help="Where in DRIVING to begin: seconds, or MINUTES:SECONDS.")
]
End: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Where in DRIVING to end.", show_default="its end")
]
Fps: TypeAlias = Annotated[
    str | None, typer.Option(help="Frames a second to resample DRIVING to.", show_default="its own times")
]
Detector: TypeAlias = Annotated[
    str, typer.Option(help="What finds the faces: auto, insightface, mtcnn or yoloface.")
]
DetectorPath: TypeAlias = Annotated[
    Path | None, typer.Option(help="Where insightface's model pack or yoloface_v5m.pt is.", show_default=False)
]
DetectEvery: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Look for faces every N frames, and follow them through those between.")
]
_CHOICES = (
    "largest, left, right, centre, a number counted from the left, X,Y for the one nearest to a point, or a "
    "picture of the person."
)
PortraitFace: TypeAlias = Annotated[str, typer.Option(help=f"Whose face is animated: {_CHOICES}")]
DrivingFace: TypeAlias = Annotated[
    str, typer.Option(help=f"Whose face drives, in the first frame that shows it: {_CHOICES}")
]
Smooth: TypeAlias = Annotated[
    bool, typer.Option("--smooth", help="Steady the face's box and points over neighbouring frames.")
]
Crop: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Where the face is cut out: first, about where it was at first; follow, slowly going with the head; "
        "each, anew in each frame, so that its place and size are not told."
    ),
]
Pose: TypeAlias = Annotated[
    str,
    typer.Option(
        help=f"What the pose guider is shown, {' or '.join(POSES)}: black pictures, which the released weights "
        "have seen, or skeletons, for weights that were trained with them."
    ),
]
PosePath: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help=f"A folder with DWPose's {DETECTOR_FILE} and {POSE_FILE}.",
        show_default=f"fetched from {REPOSITORY}",
    ),
]
Lora: TypeAlias = Annotated[
    str | None, typer.Option(help="A LoRA: a file, a folder, or a repository on the Hub.", show_default=False)
]
Weights: TypeAlias = Annotated[str, typer.Option(help="The UNet's weights in memory: none, fp8 or int8.")]
Solver: TypeAlias = Annotated[
    str, typer.Option(help=f"How steps are taken: {', '.join(SOLVERS)}.", show_default="the model's")
]
Compile: TypeAlias = Annotated[
    bool, typer.Option("--compile", help="Compile the UNet's blocks first; pays where many clips follow.")
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
Dtype: TypeAlias = Annotated[str, typer.Option(help="auto, fp16, bf16 or fp32.")]
Offload: TypeAlias = Annotated[
    str, typer.Option(help="Keep weights on the CPU until used: none, model, group or sequential.")
]


@dataclass(frozen=True)
class Stretch:
    """What is taken of a driving clip: seconds from and to, at a frame rate or its own times."""

    start: float
    end: float | None
    frame_rate: Fraction | None

    @classmethod
    def parse(cls, start: str, end: str | None, fps: str | None) -> "Stretch":
        """From the words of --start, --end and --fps.

        Raises:
            UserError: they name no stretch.
        """
        stretch = cls(
            parse_time(start, "--start"),
            None if end is None else parse_time(end, "--end"),
            None if fps is None else parse_frame_rate(fps),
        )
        check_excerpt(stretch.start, stretch.end, stretch.frame_rate)
        return stretch

    @property
    def is_whole(self) -> bool:
        """Whether it is the clip as it is."""
        return not self.start and self.end is None and self.frame_rate is None

    def open(self, driving: Path) -> Any:
        """The clip, or the stretch of it; or the motion in a file, which is whole.

        Raises:
            UserError: it cannot be read, or has no such stretch.
        """
        if driving.suffix.lower() == SUFFIX:
            if not self.is_whole:
                raise UserError(f"Of the motion {driving} no part can be taken; extract that part of its clip.")
            return DrivingMotion.load(driving)
        clip = open_frames(driving, frame_rate=self.frame_rate or DEFAULT_FRAME_RATE)
        if self.is_whole:
            return clip
        return Excerpt(clip, start=self.start, end=self.end, frame_rate=self.frame_rate)


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


def parse_time(text: str, option: str) -> float:
    """ "83.5", "1:23.5" and "0:01:23.5" as seconds.

    Raises:
        UserError: it is none of these.
    """
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text):
        raise UserError(f"{option} is {text!r}; it must be a time in seconds, or as MINUTES:SECONDS.")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_frame_rate(text: str) -> Fraction:
    """ "25", "29.97" and "30000/1001" as a fraction.

    Raises:
        UserError: it is none of these.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"--fps is {text!r}; it must be a number such as 25, 29.97 or 30000/1001.") from error
