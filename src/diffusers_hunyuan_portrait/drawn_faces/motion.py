"""How somebody who is drawn holds head and face at one moment, and how that changes over time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UserError
from .parameters import names_of, scaled, unscaled

MOTION_RANGES = {
    "yaw": (-30.0, 30.0),
    "pitch": (-20.0, 20.0),
    "roll": (-20.0, 20.0),
    "x": (-0.07, 0.07),
    "y": (-0.08, 0.08),
    "size": (0.88, 1.15),
    "brows": (-1.0, 1.0),
    "eyelids": (0.0, 1.0),
    "gaze_x": (-1.0, 1.0),
    "gaze_y": (-1.0, 1.0),
    "jaw": (0.0, 1.0),
    "mouth_width": (-1.0, 1.0),
    "smile": (-1.0, 1.0),
}


@dataclass(frozen=True)
class Motion:
    """One moment of head and face; without arguments, at rest. `MOTION_RANGES` gives each parameter's range.

    Directions are those of the picture: positive is to its right, down, and clockwise.

    Args:
        yaw: degrees that the face is turned to the picture's right.
        pitch: degrees that it is turned down.
        roll: degrees that the head is tilted clockwise.
        x, y: how far the head's centre is from its resting place, in sides of the picture.
        size: of the head, 1 at rest.
        brows: -1 lowered to 1 raised.
        eyelids: 0 closed to 1 open.
        gaze_x, gaze_y: where the eyes look, seen from the head, -1 to 1.
        jaw: 0 closed to 1 open.
        mouth_width: -1 pursed to 1 wide.
        smile: -1 corners of the mouth down to 1 up.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    size: float = 1.0
    brows: float = 0.0
    eyelids: float = 1.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    jaw: float = 0.0
    mouth_width: float = 0.0
    smile: float = 0.0

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The parameters' names, in the order of `to_vector`."""
        return names_of(cls)

    def to_vector(self) -> NDArray[np.float32]:
        """(13,) float32, each range as [-1, 1]."""
        return scaled(self, MOTION_RANGES)

    @classmethod
    def from_vector(cls, vector: ArrayLike) -> "Motion":
        """The inverse of `to_vector`.

        Raises:
            ValueError: where `vector` is not of shape (13,).
        """
        return cls(*unscaled(cls, vector, MOTION_RANGES))


def transfer(driving: Sequence[Motion], portrait: Motion) -> list[Motion]:
    """The truth for "this person with that person's motion": a motion for each of the driver's frames.

    All is the driver's, but place and size, which are the portrait's, changed as the driver's change from the
    first frame on: a driving clip's crops show them only relative to its first frame. They may leave their ranges.
    """
    first = driving[0] if driving else portrait
    return [
        replace(
            moment,
            x=portrait.x + moment.x - first.x,
            y=portrait.y + moment.y - first.y,
            size=portrait.size * moment.size / first.size,
        )
        for moment in driving
    ]


def random_motion(rng: np.random.Generator, num_frames: int, frame_rate: float = 25.0) -> list[Motion]:
    """A clip's motion by lot: a head that sways, eyes that blink and jump, a mouth that talks and pauses.

    Args:
        num_frames: length of the clip.
        frame_rate: frames a second.

    Raises:
        UserError: where `num_frames` is below 1 or `frame_rate` is not positive.
    """
    if num_frames < 1 or not frame_rate > 0:
        raise UserError(
            f"A clip of {num_frames} frames at {frame_rate} a second cannot be drawn; "
            "give at least one frame, and a rate above 0."
        )
    seconds = np.arange(num_frames) / frame_rate  # (frames,)
    speech = _speech(rng, seconds)
    # Heads are seldom held far from rest, as in clips of people; faces go to their ends.
    curves = {
        "yaw": _sway(rng, seconds, 0.6),
        "pitch": _sway(rng, seconds, 0.5),
        "roll": _sway(rng, seconds, 0.4),
        "x": _sway(rng, seconds, 0.5),
        "y": _sway(rng, seconds, 0.5),
        "size": _sway(rng, seconds, 0.5),
        "brows": _sway(rng, seconds, 1.4),
        "eyelids": _eyelids(rng, seconds),
        "gaze_x": _gaze(rng, seconds),
        "gaze_y": _gaze(rng, seconds),
        "jaw": speech * (0.5 + 0.5 * _wave(rng, seconds, 3, 6)) * 2 - 1,
        "mouth_width": np.tanh(0.6 * _sway(rng, seconds, 1.0) + 0.9 * speech * _wave(rng, seconds, 2, 4)),
        "smile": _sway(rng, seconds, 1.4),
    }
    vectors = np.stack([curves[name] for name in Motion.names()], axis=1)  # (frames, parameters)
    return [Motion.from_vector(vector) for vector in vectors]


def _sway(rng: np.random.Generator, seconds: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """A smooth curve between -1 and 1: a pose of its own for each clip, and slow waves about it."""
    waves = rng.normal(0, 0.5) + 0.6 * _wave(rng, seconds, 0.15, 0.4) + 0.6 * _wave(rng, seconds, 0.5, 1.1)
    return np.tanh(strength * waves)


def _wave(
    rng: np.random.Generator, seconds: NDArray[np.float64], slowest: float, fastest: float
) -> NDArray[np.float64]:
    """A sine of a random frequency, in turns a second."""
    return np.sin(2 * np.pi * (rng.uniform(slowest, fastest) * seconds + rng.random()))


def _eyelids(rng: np.random.Generator, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Open to about the same degree, with a blink of a quarter of a second every two to four."""
    opening = 0.75 + 0.2 * _sway(rng, seconds, 1.0)  # 0.55 to 0.95
    moment = rng.uniform(-0.2, 3)
    while moment < seconds[-1] + 0.2:
        opening = opening * (1 - np.exp(-(((seconds - moment) / 0.075) ** 4)))
        moment += rng.uniform(2, 4)
    return 2 * opening - 1


def _gaze(rng: np.random.Generator, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Looks at one place for a third of a second to two, then jumps to the next in about 60 milliseconds."""
    gaze = np.full(len(seconds), rng.uniform(-0.9, 0.9))
    moment = rng.uniform(0, 1)
    while moment < seconds[-1]:
        target = rng.uniform(-0.9, 0.9)
        gaze += (target - gaze) * _step(seconds, moment, 0.03)
        moment += rng.uniform(0.35, 2)
    return gaze


def _speech(rng: np.random.Generator, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much somebody is talking, 0 to 1: phrases of half a second to two, with shorter pauses between."""
    talking = np.zeros(len(seconds))
    moment = rng.uniform(-1.5, 0.5)
    while moment < seconds[-1]:
        end = moment + rng.uniform(0.5, 2)
        loudness = rng.uniform(0.5, 1)
        phrase = _step(seconds, moment, 0.08) - _step(seconds, end, 0.08)
        talking = np.maximum(talking, loudness * phrase)
        moment = end + rng.uniform(0.25, 0.9)
    return talking


def _step(seconds: NDArray[np.float64], moment: float, half: float) -> NDArray[np.float64]:
    """From 0 to 1 about `moment`, most of it within `half` of a second before and after."""
    return (1 + np.tanh((seconds - moment) / half)) / 2
