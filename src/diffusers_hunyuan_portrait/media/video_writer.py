"""Write frames as they come into a video, with the driving clip's sound kept in step."""

import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from ..errors import UserError
from .codecs import CODECS, FORMATS, PICTURES, choose_codec, choose_quality
from .palettes import Palettes
from .paths import readable_file, same_file, unfinished_name, writable_folder
from .sound import Sound, SoundTrack

_TICKS = 90_000  # a second, where frames carry their own times: whole for all common rates
_BT709, _SMPTE170M = 1, 6  # the numbers of ITU-T H.273, section 8
_HD_WIDTH, _HD_HEIGHT = 1280, 720
_LOOKAHEAD_PIXELS = 40 * 4096 * 2304  # of all frames that x264 keeps to look ahead
_SOUND_TAIL = Fraction(1, 20)  # seconds; encoders of whole clips end a packet or two after the last picture


def check_output(
    path: str | os.PathLike[str], inputs: Sequence[Any] = (), codec: str | None = None, quality: int | None = None
) -> Path:
    """Whether a video could be written to `path`, to be asked before long work.

    Args:
        path: the video to be; for the codec "png" the folder of its pictures.
        inputs: what it is made from; those that are paths must not be overwritten.
        codec, quality: as `VideoWriter` takes them.

    Returns:
        `path` as a `Path`.

    Raises:
        UserError: the extension is none that can be written, or does not go with the codec; the path is a folder
            or some other thing that is not a file, or one of `inputs`, under whatever name; or its folder is
            missing or does not take files.
    """
    path = Path(path)
    if codec != PICTURES and path.is_dir():
        raise UserError(f"The output {path} is a folder; give the name of a video file, such as {path}/out.mp4.")
    choose_quality(choose_codec(path, codec), quality)
    if codec == PICTURES:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"The output {path} exists already; give a folder that is new, or empty.")
    elif path.exists() and not path.is_file():
        raise UserError(f"The output {path} exists and is not a regular file; choose another name.")
    for source in inputs:
        if isinstance(source, (str, os.PathLike)) and same_file(path, source):
            raise UserError(
                f"The output {path} is the input {source}, which it would replace; choose another name."
            )
    writable_folder(path.parent)
    return path


class VideoWriter:
    """A video being written, of constant quality, and its sound; to be used in a `with` statement.

    The file appears under its name, whole, when the `with` block ends well. It is written under a hidden name
    beside it, which is removed on any error or interruption; a file that had the name before is then untouched.

    Frames get even times from `frame_rate`, or each its own where `write` is given one (a clip of variable
    rate). A picture with an odd side is extended by one pixel, a repeat of its last column or row, because
    most codecs have whole pairs of pixels only; nothing moves. Colours are BT.601 below 1280x720 and BT.709 from
    there on, which is what players take where they ignore the file's tags; the tags say which.

    Args:
        path: ends in .mp4, .m4v, .mov, .mkv, .webm, .gif or .webp.
        frame_rate: frames a second, kept exactly where it is a fraction.
        sound_from: a clip, whose sound is copied packet for packet where the format takes its codec, else
            encoded as AAC, in .webm as Opus, and ends with the pictures; or a `Sound`, for a part of it. None, or
            a clip without sound: no sound. Animated pictures have none.
        codec: "h264", "h265", "av1", "vp9", "prores", "gif" or "webp"; the usual one of the ending by default.
        quality: the codec's own number (`codecs.CODECS`); by default x264's is 17, visually lossless and the
            released program's.
        comment: a line in the file's own notes.
        seal: what is done with the finished file before it appears, under its hidden name.

    Raises:
        UserError: see `check_output`; or the frame rate is not a positive number.
        UnreadableMediaError: `sound_from` cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        frame_rate: Fraction | float,
        sound_from: str | os.PathLike[str] | Sound | None = None,
        codec: str | None = None,
        quality: int | None = None,
        comment: str | None = None,
        seal: Callable[[Path], None] | None = None,
    ) -> None:
        self.path = check_output(path, codec=codec, quality=quality)
        self.codec = choose_codec(self.path, codec)
        if not math.isfinite(frame_rate) or frame_rate <= 0:
            raise UserError(f"A frame rate must be a positive number, not {frame_rate}.")
        self.frame_rate = Fraction(frame_rate).limit_denominator(1_000_000)
        self.frame_count = 0
        self._quality = choose_quality(self.codec, quality)
        self._comment, self._seal = comment, seal
        if sound_from is not None and not isinstance(sound_from, Sound):
            sound_from = Sound(readable_file(sound_from, "sound"))
        self._sound_from = sound_from if CODECS[self.codec].has_sound else None
        self._format = FORMATS[self.path.suffix.lower()]
        self._unfinished = self.path.parent / unfinished_name(self.path.suffix)
        self._container: Any = None
        self._stream: Any = None
        self._sound: SoundTrack | None = None
        self._palettes: Palettes | None = None
        self._has_own_times = False
        self._frame_shape: tuple[int, ...] = ()
        self._last_pts, self._last_time = -1, -1.0

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: npt.NDArray[np.uint8], timestamp: float | None = None) -> None:
        """Add one frame.

        Args:
            frame: (H, W, 3) uint8 RGB, of the same size each time.
            timestamp: seconds from the first frame, rising; for all frames or for none.

        Raises:
            ValueError: a frame of another shape or type, or a timestamp that does not rise or is missing.
            UserError: the file cannot be written, because the disk is full or the encoder does not take the size.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"A frame must be (H, W, 3) uint8, not {frame.shape} {frame.dtype}.")
        try:
            if self._container is None:
                self._start(frame, own_times=timestamp is not None)
            if frame.shape != self._frame_shape:
                raise ValueError(f"A frame of {frame.shape} follows frames of {self._frame_shape}.")
            pts = self._next_pts(timestamp)
            picture = self._picture(frame)
            picture.pts = pts
            picture.time_base = self._time_base
            picture.duration = self._frame_duration
            self._mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            raise self._write_error(error) from error
        self.frame_count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        finished = False
        try:
            if kind is None:
                self._finish()
                finished = True
        finally:
            if not finished:
                self._abandon()

    def _start(self, frame: npt.NDArray[np.uint8], *, own_times: bool) -> None:
        codec = CODECS[self.codec]
        height, width = frame.shape[:2]
        self._frame_shape = frame.shape
        self._has_own_times = own_times
        self._time_base = Fraction(1, codec.ticks or _TICKS) if own_times or codec.ticks else 1 / self.frame_rate
        self._frame_duration = max(1, round(1 / self.frame_rate / self._time_base))
        self._matrix = Colorspace.ITU709 if _is_hd(width, height) else Colorspace.ITU601

        # The index goes to the front of the file, so that playing can start before all of it has come.
        flags = {"movflags": "+faststart"} if self._format in ("mp4", "mov") else {}
        if codec.ticks:
            flags["loop"] = "0"  # without end
        self._container = av.open(f"file:{self._unfinished}", "w", format=self._format, container_options=flags)
        if self._comment:
            self._container.metadata["comment"] = self._comment
        self._stream = self._container.add_stream(
            codec.encoder, rate=self.frame_rate, options=self._encoder_options(height * width)
        )
        encoder = self._stream.codec_context
        encoder.width, encoder.height = width, height
        encoder.pix_fmt = codec.pixels
        encoder.time_base = self._time_base
        if codec.has_matrix:
            encoder.width, encoder.height = width + width % 2, height + height % 2
            encoder.color_range = ColorRange.MPEG
            encoder.colorspace = _BT709 if self._matrix == Colorspace.ITU709 else _SMPTE170M
            # The primaries are sRGB's, which BT.709 shares, whatever the matrix.
            encoder.color_primaries = encoder.color_trc = _BT709
        if self.codec == "h265" and self._format in ("mp4", "mov"):
            encoder.codec_tag = "hvc1"  # the one of two tags that Apple's players take
        if self.codec == "gif":
            self._palettes = Palettes(width, height)
        if self._sound_from is not None:
            self._sound = SoundTrack(self._sound_from, self._format)
            self._sound.add_to(self._container)

    def _encoder_options(self, pixels: int) -> dict[str, str]:
        options = CODECS[self.codec].options(self._quality, self._has_own_times)
        if self.codec == "h264" and pixels > _LOOKAHEAD_PIXELS // 40:
            # x264 holds the frames that it looks ahead over; its 40 of a large portrait would fill gigabytes.
            options["rc-lookahead"] = str(max(5, _LOOKAHEAD_PIXELS // pixels))
        return options

    def _picture(self, frame: npt.NDArray[np.uint8]) -> Any:
        codec, (height, width) = CODECS[self.codec], frame.shape[:2]
        if codec.has_matrix and (height % 2 or width % 2):
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._palettes is not None:
            return self._palettes.apply(rgb)
        if not codec.has_matrix:
            return rgb.reformat(format=codec.pixels)
        picture = rgb.reformat(format=codec.pixels, dst_colorspace=self._matrix, dst_color_range=ColorRange.MPEG)
        picture.color_primaries = picture.color_trc = _BT709  # ProRes notes those of the frames
        return picture

    def _next_pts(self, timestamp: float | None) -> int:
        if (timestamp is not None) != self._has_own_times:
            raise ValueError("Give a timestamp with every frame or with none.")
        time = self.frame_count / self.frame_rate if timestamp is None else Fraction(timestamp)
        pts = round(time / self._time_base)
        if CODECS[self.codec].ticks and (timestamp is None or timestamp > self._last_time):
            pts = max(pts, self._last_pts + 1)  # its ticks may be longer than frames
        if pts <= self._last_pts:
            raise ValueError(f"Timestamps must rise from 0 on; frame {self.frame_count} has {timestamp}.")
        self._last_pts, self._last_time = pts, float(time)
        return pts

    def _mux(self, packets: list[Any]) -> None:
        """Write pictures, each followed by the sound up to its time, so that neither waits in memory."""
        for packet in packets:
            time = (packet.pts if packet.dts is None else packet.dts) * packet.time_base
            self._container.mux(packet)
            self._mux_sound(until=time)

    def _mux_sound(self, until: Fraction) -> None:
        if self._sound is not None:
            for packet in self._sound.packets_until(until):
                self._container.mux(packet)

    def _finish(self) -> None:
        if self._container is None:
            raise UserError(f"No frame was given for {self.path}; a video needs at least one.")
        try:
            last = self._last_duration()
            packets = self._stream.encode(None)
            for packet in packets:
                if packet.pts == self._last_pts or packet is packets[-1]:
                    packet.duration = last
            self._mux(packets)
            self._mux_sound(until=(self._last_pts + last) * self._time_base + _SOUND_TAIL)
            self._container.close()
            if self._sound is not None:
                self._sound.close()
            if self._seal is not None:
                self._seal(self._unfinished)
            self._unfinished.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

    def _last_duration(self) -> int:
        """Ticks for the last frame: what is missing to `frame_count / frame_rate`, or else one mean frame."""
        missing = round(self.frame_count / self.frame_rate / self._time_base) - self._last_pts
        return missing if missing > 0 else self._frame_duration

    def _abandon(self) -> None:
        try:
            if self._sound is not None:
                self._sound.close()
            if self._container is not None:
                self._container.close()
        except (av.error.FFmpegError, OSError):
            pass  # what was written is thrown away; the error that led here is the one to be seen
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _write_error(self, error: Exception) -> UserError:
        size = "x".join(str(side) for side in self._frame_shape[1::-1])
        reason = getattr(error, "strerror", None) or str(error)
        return UserError(f"The video {self.path} of {size} pixels cannot be written: {reason}.")


def _is_hd(width: int, height: int) -> bool:
    return width >= _HD_WIDTH or height >= _HD_HEIGHT
