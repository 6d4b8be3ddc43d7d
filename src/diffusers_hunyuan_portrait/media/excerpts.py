"""A part of a driving clip, or the same at another frame rate: which of its frames are shown, and when."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError

MOST_FRAMES_A_SECOND = 1000
DEFAULT_FRAME_RATE = Fraction(25)  # of pictures and arrays, which have none


class Excerpt:
    """A clip cut to a stretch of time, or resampled, with the attributes of `VideoReader`.

    Its times count from its first frame. At another rate each moment shows the frame that is on then: frames are
    repeated or left out, and none is made up.

    Args:
        clip: a `VideoReader`, or a `FrameSequence` with a frame rate.
        start, end: seconds; frames from `start` on and before `end`. To the clip's end by default.
        frame_rate: frames a second, instead of the clip's own times.

    Attributes:
        is_whole: whether it has the clip from its beginning to its end.
        span: seconds of the clip at which the excerpt begins and ends, for its sound.

    Raises:
        UserError: a number is out of range, or nothing is left.
    """

    def __init__(
        self,
        clip: Any,
        *,
        start: float = 0,
        end: float | None = None,
        frame_rate: Fraction | None = None,
    ) -> None:
        check_excerpt(start, end, frame_rate)
        if clip.frame_rate is None:
            raise UserError("The driving clip has no frame rate, so that no time of it can be told; give it one.")
        self._clip = clip
        self.is_whole = not start and end is None
        self.path: Path | None = clip.path
        self.width, self.height = clip.width, clip.height
        times = _times(clip)
        clip_end = float(times[-1] + 1 / clip.frame_rate)
        last_moment = clip_end if end is None else min(end, clip_end)
        if start >= clip_end:
            raise UserError(f"The driving clip is {clip_end:.2f} s long, so nothing is left from {start:g} s on.")

        if frame_rate is None:
            self._frames = np.nonzero((times >= start) & (times < last_moment))[0]
        else:
            # A thousandth of a frame less, so that an end that is one frame's beginning shows none of it.
            count = max(math.ceil((last_moment - start) * frame_rate - 1e-3), 0)
            moments = start + np.arange(count) / float(frame_rate)
            # Half a millisecond on: files that note whole milliseconds have frames begin up to that much late.
            self._frames = np.searchsorted(times, moments + 5e-4, side="right") - 1
        if not len(self._frames):
            raise UserError(
                f"No frame of the driving clip is between {start:g} and {last_moment:g} s; take a longer stretch."
            )
        self.frame_count = len(self._frames)
        if frame_rate is None:
            shown = times[self._frames]
            self.timestamps = shown - shown[0]
            begins = float(shown[0])
            after = self._frames[-1] + 1
            ends = float(times[after]) if after < len(times) else clip_end
            self.frame_rate, self.is_variable_rate = clip.frame_rate, clip.is_variable_rate
            if clip.is_variable_rate:  # the mean rate of what is shown, from which the last frame's time follows
                self.frame_rate = Fraction(self.frame_count / (ends - begins)).limit_denominator(1_000_000)
        else:
            self.frame_rate, self.is_variable_rate = frame_rate, False
            self.timestamps = np.arange(self.frame_count) / float(frame_rate)
            begins, ends = start, start + self.frame_count / float(frame_rate)
        self.span = begins, ends

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The frames in order, each (H, W, 3) uint8 RGB; the clip is read no further than they go."""
        wanted = iter(self._frames.tolist())
        next_wanted = next(wanted, None)
        for number, frame in enumerate(self._clip):
            while next_wanted == number:
                yield frame
                next_wanted = next(wanted, None)
            if next_wanted is None:
                return


def times_of(clip: Any, order: Sequence[int]) -> npt.NDArray[np.float64]:
    """(F,) seconds at which frames are shown where those of a clip run in another order, each for its own time."""
    durations = np.diff(_times(clip), append=0)
    durations[-1] = 1 / (clip.frame_rate or DEFAULT_FRAME_RATE)
    return np.concatenate([[0], np.cumsum(durations[np.asarray(order)])[:-1]])


def _times(clip: Any) -> npt.NDArray[np.float64]:
    times = clip.timestamps
    return np.arange(clip.frame_count) / float(clip.frame_rate or DEFAULT_FRAME_RATE) if times is None else times


def check_excerpt(start: float, end: float | None, frame_rate: Fraction | None) -> None:
    """Raise `UserError` where no clip has such an excerpt."""
    if not (math.isfinite(start) and start >= 0):
        raise UserError(f"A clip begins at a time from 0 s on, not at {start:g} s.")
    if end is not None and not (math.isfinite(end) and end > start):
        raise UserError(f"The end, {end:g} s, must come after the start, {start:g} s.")
    if frame_rate is not None and not 0 < frame_rate <= MOST_FRAMES_A_SECOND:
        raise UserError(
            f"A frame rate must be above 0 and at most {MOST_FRAMES_A_SECOND} frames a second, not "
            f"{float(frame_rate):g}."
        )
