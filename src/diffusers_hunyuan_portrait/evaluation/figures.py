"""The figures of a model that animates drawn faces, beside those of stand-ins that do no work, and their bars."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drawn_faces import Motion
from ..errors import UserError
from .pairs import Pair
from .reader import MotionReader

# The videos of a pair that are measured.
TRUTH, REPEATED, DRIVER = "truth", "portrait repeated", "driver as it is"
RESULT, CONTROL = "result", "result with another motion"

HEAD = ("yaw", "pitch", "roll", "x", "y", "size")
FACE = ("brows", "eyelids", "gaze_x", "gaze_y", "jaw", "mouth_width", "smile")

HIGHEST_PSNR = 100.0  # dB, of equal pictures, whose PSNR has no number

PSNR_GAIN = 4.0  # dB over the portrait repeated, at least
MOST_HEAD_ERROR = 0.35  # of the portrait repeated's
MOST_FACE_ERROR = 0.60  # of the portrait repeated's
MOST_IDENTITY_ERROR = 1.5  # times what the reader makes on the truth
MOST_CHANGE_OFF = 0.2  # of the truth's frame-to-frame change
LEAST_CONTROL = 2.0  # times the error of the right motion


@dataclass(frozen=True, eq=False)
class VideoFigures:
    """One video held against the truth of its pair.

    Args:
        psnr: dB, the mean over the frames of each frame's, for pixels in [0, 1].
        motion_error: (13,), of each motion parameter the mean over the frames of |what the reader reads - what is
            true|, with the parameter's range as [-1, 1].
        identity_error: the same over all identity parameters.
        change: the mean |next frame - frame| of pixels in [0, 1].
    """

    psnr: float
    motion_error: NDArray[np.float64]
    identity_error: float
    change: float


@dataclass(frozen=True)
class Row:
    """What one kind of video comes to over all pairs.

    Args:
        psnr: dB, the mean over the pairs.
        motion: of each motion parameter, the error above the reader's own, relative to the portrait repeated's.
        head, face, all: the same of the summed errors of head pose, position and size; of eyelids, gaze, brows,
            jaw and mouth; and of both.
        identity: the identity's error relative to what the reader makes on the truth.
        change: the frame-to-frame change relative to the truth's.
    """

    psnr: float
    motion: dict[str, float]
    head: float
    face: float
    all: float
    identity: float
    change: float


@dataclass(frozen=True)
class Figures:
    """The rows of all kinds of videos over `num_pairs` pairs.

    `reader_error` and `repeated_error` say, for each motion parameter and as a share of its range, how far the
    reader is off on the truth, and the portrait repeated beyond that: the measure of every `Row.motion`.
    """

    num_pairs: int
    rows: dict[str, Row]
    reader_error: dict[str, float]
    repeated_error: dict[str, float]

    @property
    def psnr_gain(self) -> float:
        """dB of the result over the portrait repeated."""
        return self.rows[RESULT].psnr - self.rows[REPEATED].psnr

    @property
    def control(self) -> float | None:
        """How many times the right motion's error another motion gives; `None` where that was not run."""
        return _ratio(self.rows[CONTROL].all, self.rows[RESULT].all) if CONTROL in self.rows else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Figures":
        """From what `to_dict` gave."""
        return cls(**{**values, "rows": {name: Row(**row) for name, row in values["rows"].items()}})

    def to_markdown(self) -> str:
        """Two tables: the figures of each kind of video, and its error of each motion parameter."""
        overall = _table(
            ("video", "PSNR, dB", "head motion", "face motion", "identity", "frame-to-frame change"),
            [
                (
                    name,
                    f"{row.psnr:.2f}",
                    f"{row.head:.0%}",
                    f"{row.face:.0%}",
                    f"{row.identity:.2f}",
                    f"{row.change:.2f}",
                )
                for name, row in self.rows.items()
            ],
        )
        moved = [name for name in self.rows if name not in (TRUTH, REPEATED)]
        by_parameter = _table(
            ("error of", "reader, of the range", "portrait repeated, of the range", *moved),
            [
                (
                    parameter,
                    f"{self.reader_error[parameter]:.1%}",
                    f"{self.repeated_error[parameter]:.1%}",
                    *(f"{self.rows[name].motion[parameter]:.0%}" for name in moved),
                )
                for parameter in self.reader_error
            ],
        )
        return f"{overall}\n{by_parameter}"


def measure(frames: NDArray[np.uint8], pair: Pair, reader: MotionReader) -> VideoFigures:
    """Holds a video against the truth of a pair, drawn at the video's size.

    Args:
        frames: (F, size, size, 3) RGB, as many as the pair's driving clip has.

    Raises:
        UserError: the video has another shape.
    """
    size, true_motion = frames.shape[1], pair.truth
    if frames.shape != (len(true_motion), size, size, 3):
        raise UserError(
            f"A video of {len(true_motion)} square frames is needed, but this one has shape {frames.shape}."
        )
    motion, identity = reader.read(frames)
    true_numbers = np.stack([motion.to_vector() for motion in true_motion])  # (frames, parameters)
    video, truth = (clip.astype(np.float64) / 255 for clip in (frames, pair.draw_truth(size)))
    return VideoFigures(
        psnr=psnr(video, truth),
        motion_error=np.abs(motion - true_numbers).mean(axis=0).astype(np.float64),
        identity_error=float(np.abs(identity - pair.identity.to_vector()).mean()),
        change=float(np.abs(np.diff(video, axis=0)).mean()) if len(video) > 1 else 0.0,
    )


def summarise(pairs: Sequence[Mapping[str, VideoFigures]]) -> Figures:
    """The figures over all pairs, from each pair's videos by kind; `TRUTH` and `REPEATED` must be among them.

    A motion error counts where it is above that of the reader on the same pair's truth. Over the pairs errors are
    added before they are divided, so that a pair that hardly moves does not weigh as much as one that does.
    """
    kinds = list(pairs[0])
    excess = {
        kind: np.mean([_excess(videos[kind], videos[TRUTH]) for videos in pairs], axis=0)  # (parameters,)
        for kind in kinds
    }
    identity = {kind: float(np.mean([videos[kind].identity_error for videos in pairs])) for kind in kinds}
    change = {kind: float(np.mean([videos[kind].change for videos in pairs])) for kind in kinds}
    own = np.mean([videos[TRUTH].motion_error for videos in pairs], axis=0)
    names = Motion.names()

    def relative(kind: str, parameters: Sequence[str]) -> float:
        chosen = [names.index(parameter) for parameter in parameters]
        return _ratio(float(excess[kind][chosen].sum()), float(excess[REPEATED][chosen].sum()))

    rows = {
        kind: Row(
            psnr=float(np.mean([videos[kind].psnr for videos in pairs])),
            motion={name: relative(kind, [name]) for name in names},
            head=relative(kind, HEAD),
            face=relative(kind, FACE),
            all=relative(kind, names),
            identity=_ratio(identity[kind], identity[TRUTH]),
            change=_ratio(change[kind], change[TRUTH]),
        )
        for kind in kinds
    }
    half = 0.5  # from numbers in [-1, 1] to shares of the range
    return Figures(
        num_pairs=len(pairs),
        rows=rows,
        reader_error=dict(zip(names, (half * own).tolist(), strict=True)),
        repeated_error=dict(zip(names, (half * excess[REPEATED]).tolist(), strict=True)),
    )


def check_bars(figures: Figures) -> list[str]:
    """A sentence for every bar that the result does not reach; none where it reaches all."""
    result, failures = figures.rows[RESULT], []
    if figures.psnr_gain < PSNR_GAIN:
        failures.append(
            f"PSNR is {figures.psnr_gain:.2f} dB over the portrait repeated; at least {PSNR_GAIN} is asked for."
        )
    for what, error, most in (
        ("head pose, position and size", result.head, MOST_HEAD_ERROR),
        ("eyelids, gaze, brows, jaw and mouth", result.face, MOST_FACE_ERROR),
    ):
        if error > most:
            failures.append(
                f"The error of {what} is {error:.1%} of the portrait repeated's; at most {most:.0%} is asked for."
            )
    if result.identity > MOST_IDENTITY_ERROR:
        failures.append(
            f"The identity's error is {result.identity:.2f} times the reader's on the truth; at most "
            f"{MOST_IDENTITY_ERROR} is asked for."
        )
    if abs(result.change - 1) > MOST_CHANGE_OFF:
        failures.append(
            f"The frame-to-frame change is {result.change:.2f} times the truth's; it may be off by "
            f"{MOST_CHANGE_OFF}."
        )
    if figures.control is not None and figures.control < LEAST_CONTROL:
        failures.append(
            f"Another motion's error is {figures.control:.2f} times the right one's; at least {LEAST_CONTROL} is "
            "asked for."
        )
    return failures


def psnr(video: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """The mean over the frames, dB, at most `HIGHEST_PSNR`; both (F, H, W, 3) in [0, 1]."""
    squared_error = ((video - truth) ** 2).mean(axis=(1, 2, 3))  # (frames,)
    return float((-10 * np.log10(np.maximum(squared_error, 10 ** (-HIGHEST_PSNR / 10)))).mean())


def _excess(video: VideoFigures, truth: VideoFigures) -> NDArray[np.float64]:
    """The motion error above what the reader makes by itself, (parameters,)."""
    return np.maximum(video.motion_error - truth.motion_error, 0)


def _ratio(error: float, measure: float) -> float:
    if measure == 0:
        return 0.0 if error == 0 else float("inf")
    return error / measure


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
