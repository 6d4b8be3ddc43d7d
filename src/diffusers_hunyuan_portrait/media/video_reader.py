"""Driving clips as streams of upright 8-bit RGB frames: any file that PyAV reads, PIL images, or an array."""

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace
from PIL import Image

from ..errors import UnreadableMediaError, UserError
from ..limits import check_pixels
from .colours import HLG, PQ, to_srgb
from .deinterlacing import progressive
from .excerpts import Excerpt
from .folders import FrameFolder
from .images import WHITE, is_still_image, read_image, rgb_pixels, to_8_bit, upright_size
from .paths import readable_file
from .truncation import why_cut_short

# FFmpeg also opens text as pictures of text, and scripts that name other files; none is a clip.
_NOT_CLIPS = {"tty", "concat", "hls", "lavfi", "bin", "dash", "image2"}
# Only the file itself may be opened, whatever a playlist inside it names.
_OPEN_OPTIONS = {"protocol_whitelist": "file"}
_JITTER = 0.0011  # seconds; a constant rate written in whole milliseconds is up to one off

Frame: TypeAlias = npt.NDArray[np.uint8]
FrameSource: TypeAlias = (
    "str | os.PathLike[str] | Sequence[Any] | npt.ArrayLike | VideoReader | FrameSequence | Excerpt"
)


def open_frames(
    source: FrameSource, *, frame_rate: Fraction | None = None
) -> "VideoReader | FrameSequence | Excerpt":
    """One way into every kind of driving clip.

    Args:
        source: a path of a video; of a still image, which is a clip of one frame; or of a folder of still images,
            which are its frames in the order of the numbers in their names; a list of PIL images or (H, W, 3)
            arrays; or an array or tensor (F, H, W, 3), uint8 or floats in [0, 1].
        frame_rate: what a source without a rate of its own (all but a video) is to have.

    Returns:
        A clip with `frame_rate`, `width`, `height`, `frame_count`, `timestamps`, `is_variable_rate` and `path`,
        that can be iterated over again and again.

    Raises:
        UnreadableMediaError, UserError: one sentence on what is wrong with the source.
    """
    if isinstance(source, (VideoReader, FrameSequence, Excerpt)):
        return source
    if isinstance(source, (str, os.PathLike)):
        if os.path.isdir(source):
            return FrameSequence(FrameFolder(source), frame_rate=frame_rate)
        path = readable_file(source, "video")
        if is_still_image(path):
            return FrameSequence([read_image(path)], frame_rate=frame_rate)
        return VideoReader(path)
    return FrameSequence(source, frame_rate=frame_rate)


class FrameSequence:
    """Frames that are in memory already, behind the same attributes as `VideoReader`.

    Args:
        frames: a list of PIL images or (H, W, 3) arrays of one size, or an array or tensor (F, H, W, 3); uint8
            or floats in [0, 1].
        frame_rate: frames a second, where it is known.

    Raises:
        UserError: no frames, or frames of another shape, type or of several sizes.
    """

    path: Path | None = None
    timestamps: npt.NDArray[np.float64] | None = None
    is_variable_rate = False

    def __init__(self, frames: Any, *, frame_rate: Fraction | None = None) -> None:
        if isinstance(frames, (list, tuple, FrameFolder)):
            self._frames: Any = frames
        else:
            self._frames = _clip_array(frames)
        if not len(self._frames):
            raise UserError("The driving clip has no frames; give at least one.")
        if isinstance(frames, FrameFolder):
            sizes = frames.sizes()
        else:
            sizes = {_size(frame, index) for index, frame in enumerate(self._frames)}
        if len(sizes) > 1:
            first, second = sorted(sizes)[:2]
            raise UserError(
                f"The driving frames have several sizes, {first[0]}x{first[1]} and {second[0]}x{second[1]}; "
                "give frames of one size."
            )
        self.width, self.height = sizes.pop()
        self.frame_rate = frame_rate
        self.frame_count = len(self._frames)

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order, each a new (H, W, 3) uint8 RGB array."""
        for frame in self._frames:
            if isinstance(frame, Image.Image):
                yield rgb_pixels(frame, "A driving frame")
            else:
                yield to_8_bit(np.asarray(frame))


def _clip_array(frames: Any) -> npt.NDArray:
    if hasattr(frames, "detach"):  # a tensor, which NumPy cannot take from another device or with a gradient
        frames = frames.detach().cpu()
    clip = np.asarray(frames)
    if clip.ndim != 4 or clip.shape[3] != 3:
        raise UserError(f"An array of driving frames must be (F, H, W, 3), not {clip.shape}.")
    return clip


def _size(frame: Any, index: int) -> tuple[int, int]:
    """Width and height of one given frame."""
    if isinstance(frame, Image.Image):
        return upright_size(frame)
    shape = np.shape(frame)
    if len(shape) != 3 or shape[2] != 3:
        raise UserError(
            f"Driving frame {index} must be a PIL image or an (H, W, 3) array, not "
            f"{type(frame).__name__} of shape {shape}."
        )
    return shape[1], shape[0]


class VideoReader:
    """A video file, read frame by frame as often as wanted, with memory that does not depend on its length.

    Opening it checks that the file is whole as far as its container can tell, walks over the packets (nothing
    is decoded but the first frame), and knows the size, the rate and every frame's time from then on.

    Args:
        path: any container and codec that PyAV reads.

    Attributes:
        path: the file.
        frame_rate: frames a second; the mean where the clip's rate varies.
        width, height: pixels of the upright frame, a rotation noted in the file (telephones) applied. Pixels
            are taken as square.
        frame_count: the frames to come. Exact for nearly every file; a few old codecs have packets without a
            picture, so that this is an upper bound until the first full pass over the frames has counted them.
        timestamps: (F,) float64, seconds from the first frame's presentation; corrected like `frame_count`.
        is_variable_rate: whether the timestamps are more than a millisecond away from a constant rate.

    Raises:
        UnreadableMediaError: the file is missing, empty, a folder, not a video, without a picture, or cut short.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = readable_file(path, "video")
        reason = why_cut_short(self.path)
        if reason:
            raise UnreadableMediaError(f"{self.path} is cut short: {reason}; give the whole file.")
        with open_container(self.path, "video") as container:
            stream = picture_stream(container)
            if stream is None:
                raise UnreadableMediaError(f"{self.path} holds no moving picture; give a video file.")
            check_pixels(stream.codec_context.width, stream.codec_context.height, str(self.path))
            self._stream_index = stream.index
            self._tick = stream.time_base or Fraction(1, 1000)  # seconds
            self._end = 0  # ticks at which the last frame ends, as far as is known
            # The header's mean rate also counts frames that an edit list hides; the guess is often rounder.
            rates = stream.average_rate, stream.guessed_rate
            self._rates = [Fraction(rate) for rate in rates if rate] or [Fraction(25)]
            self._set_times(self._demux_times(container, stream))
        with open_container(self.path, "video") as container:
            first = next(self._decode(container), None)
            if first is None:
                raise UnreadableMediaError(f"No frame of {self.path} can be decoded; give another video file.")
            self._upright = _upright(first)
            self.height, self.width = self._upright(np.empty((first.height, first.width, 1))).shape[:2]
            self._stored_size = first.width, first.height

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order of presentation, each a new (H, W, 3) uint8 RGB array.

        Raises:
            UnreadableMediaError: a frame cannot be decoded, which names it and its time.
        """
        times = array("q")
        count = 0
        with open_container(self.path, "video") as container:
            for frame in self._decode(container):
                count += 1
                if frame.pts is not None:
                    times.append(frame.pts)
                yield self._upright(_rgb(frame, *self._stored_size))
        # Only here are packets without a picture known, so the counts made from packets are put right.
        if count != self.frame_count:
            self._set_times(times if len(times) == count else count)

    def _demux_times(self, container: Any, stream: Any) -> "array[int] | int":
        """Sorted presentation times in ticks from the packets, or only their number where a time is missing."""
        times = array("q")
        timeless = 0
        ends_in_damage = False
        try:
            for packet in container.demux(stream):
                if packet.size == 0:  # the flush at the end
                    continue
                ends_in_damage = packet.is_corrupt
                if packet.is_discard:  # before the start that the edit list sets: decoded but not shown
                    continue
                if packet.pts is None:
                    timeless += 1
                else:
                    times.append(packet.pts)
                    self._end = max(self._end, packet.pts + (packet.duration or 0))
        except av.error.FFmpegError as error:
            raise UnreadableMediaError(
                f"{self.path} cannot be read after {len(times) + timeless} frames ({_message(error)}): it is "
                "damaged or cut short; give the whole file."
            ) from error
        if ends_in_damage:
            raise UnreadableMediaError(
                f"{self.path} is cut short: its last picture, number {len(times) + timeless}, is incomplete; "
                "give the whole file."
            )
        # AVI has no times but one rate; what FFmpeg makes up for frames out of order is not to be believed.
        if timeless or container.format.name == "avi":
            return len(times) + timeless
        return array("q", sorted(times))

    def _set_times(self, ticks: "array[int] | int") -> None:
        """Frame count, timestamps and kind of rate from presentation times, or from the count alone."""
        count = ticks if isinstance(ticks, int) else len(ticks)
        self.frame_count = count
        self.frame_rate, self.is_variable_rate = self._rates[0], False
        self.timestamps = np.arange(count) / float(self.frame_rate)
        if isinstance(ticks, int) or not count:
            return
        numbers = np.frombuffer(ticks, dtype=np.int64)
        self.timestamps = (numbers - numbers[0]) * float(self._tick)
        for rate in self._rates:
            if np.all(np.abs(self.timestamps - np.arange(count) / float(rate)) <= _JITTER):
                self.frame_rate = rate
                return
        self.is_variable_rate = True
        # Not the header's mean, which many files form from the order of decoding.
        self.frame_rate = count / ((max(self._end, int(numbers[-1]) + 1) - int(numbers[0])) * self._tick)

    def _decode(self, container: Any) -> Iterator[Any]:
        """PyAV's frames in order of presentation, whole pictures each."""
        return progressive(self._decode_as_stored(container))

    def _decode_as_stored(self, container: Any) -> Iterator[Any]:
        stream = container.streams[self._stream_index]
        stream.thread_type = "AUTO"
        count = 0
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    if count or not packet.size:
                        raise
                    continue  # a recording may begin between two key frames: nothing can be shown before one
                for frame in frames:
                    count += 1
                    yield frame
        except av.error.FFmpegError as error:
            raise UnreadableMediaError(
                f"{self.path} cannot be decoded after frame {count} of {self.frame_count} "
                f"({count / float(self.frame_rate):.2f} s): {_message(error)}; it is damaged or cut short."
            ) from error


def open_container(path: Path, kind: str) -> Any:
    """PyAV's container of a file of this `kind`, "video" or "sound"; the caller closes it.

    Raises:
        UnreadableMediaError: it is not such a file.
    """
    try:
        # "file:" keeps a colon in the name from being taken for a protocol.
        container = av.open(f"file:{path}", container_options=_OPEN_OPTIONS)
    except (av.error.FFmpegError, ValueError) as error:
        raise UnreadableMediaError(
            f"{path} is not a {kind} that can be read, or it is damaged ({_message(error)}); "
            f"give a whole {kind} file."
        ) from error
    if container.format.name in _NOT_CLIPS:
        container.close()
        raise UnreadableMediaError(f"{path} is not a {kind}; give a {kind} file.")
    return container


def picture_stream(container: Any) -> Any | None:
    """The container's moving picture, cover art left out, or None."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None
    ]
    best = container.streams.best("video")
    return best if best in streams else next(iter(streams), None)


def _rgb(frame: Any, width: int, height: int) -> Frame:
    """(H, W, 3) uint8 as stored; a clip that changes its size on the way is scaled to that of its start."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba", width=width, height=height).astype(np.float32)
        alpha = rgba[..., 3:] / 255
        return np.rint(rgba[..., :3] * alpha + np.array(WHITE, np.float32) * (1 - alpha)).astype(np.uint8)
    if frame.color_trc in (PQ, HLG):
        wide = frame.reformat(width, height, "rgb48le", Colorspace.BT2020)
        return to_srgb(wide.to_ndarray(), frame.color_trc)
    return frame.to_ndarray(format="rgb24", width=width, height=height)


def _upright(frame: Any) -> Callable[[npt.NDArray], npt.NDArray]:
    """How to turn a stored picture the way that the file's display matrix says."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return lambda picture: picture
    # The matrix maps a stored (x, y) to (a·x + c·y, b·x + d·y); only its quarter turns and mirrors are followed.
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), dtype=np.int32)
    turned = abs(int(b)) > abs(int(a))
    mirrored, upside_down = (c < 0, b < 0) if turned else (a < 0, d < 0)

    def turn(picture: npt.NDArray) -> npt.NDArray:
        if turned:
            picture = picture.swapaxes(0, 1)
        return np.ascontiguousarray(picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1])

    return turn


def _message(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
