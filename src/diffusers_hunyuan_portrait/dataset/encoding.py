"""A clip as the files of one WebDataset sample, and back: bytes in memory, without a file system."""

import io
import json
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ..face import intensity_levels
from ..limits import check_clip_bytes
from .clip import Clip

FORMAT_VERSION = 1
LEVELS_CHUNK = 25  # frames whose intensity is taken together (contract, "Motion")
LOSSLESS = 0
_STYLE_FILE = re.compile(r"style-(.+)\.mp4")
_STYLE_NAME = re.compile(r"[a-z0-9_-]+")  # WebDataset lowers the case of what follows the key
# Degrees up to 180 would lose up to 0.06 in half precision.
_CACHES = {
    "latents": np.dtype(np.float16),
    "anchors": np.dtype(np.int64),
    "expression": np.dtype(np.float16),
    "rotation": np.dtype(np.float32),
    "keypoints": np.dtype(np.float32),
}


def encode_clip(clip: Clip, crf: int = LOSSLESS) -> dict[str, bytes]:
    """The clip's files by their extensions: `json`, `mp4`, and `latents.npy` and the like where it has them.

    Frames are H.264 in RGB, not in YUV: with `crf` 0 they come back to the bit, and whatever `crf` is, decoding
    holds no conversion of colours that could differ between machines. (On a real clip at 512×512, 14 took 29 kB a
    frame at 46 dB, and 0 took 161 kB.)

    Args:
        crf: x264's quality, 0 (lossless) to 51.

    Raises:
        ValueError: a style's name is not made of small letters, digits, "_" and "-".
    """
    facts = {
        "version": FORMAT_VERSION,
        "frame_rate": clip.frame_rate,
        "num_frames": len(clip),
        "size": clip.frames.shape[1],
        "landmarks": clip.landmarks.tolist(),
        "face_boxes": clip.face_boxes.tolist(),
        "levels": [  # (head, expression) of each chunk
            intensity_levels(clip.landmarks[start : start + LEVELS_CHUNK])
            for start in range(0, len(clip), LEVELS_CHUNK)
        ],
        "source": clip.source,
    }
    files = {"json": json.dumps(facts).encode(), "mp4": _encode_frames(clip.frames, clip.frame_rate, crf)}
    for name, copy in clip.styles.items():
        if not _STYLE_NAME.fullmatch(name):
            raise ValueError(f"A style's name must be of a-z, 0-9, '_' and '-', not {name!r}.")
        files[f"style-{name}.mp4"] = _encode_frames(copy, clip.frame_rate, crf)
    for name, dtype in _CACHES.items():
        values = getattr(clip, name)
        if values is not None:
            files[f"{name}.npy"] = _encode_array(values.astype(dtype))
    return files


def decode_clip(files: Mapping[str, bytes]) -> Clip:
    """The clip of files that `encode_clip` made; they are read as data only.

    Raises:
        ValueError: what is wrong with them.
        UserError: the pictures would take too much memory.
    """
    try:
        facts = json.loads(files["json"])
        if facts["version"] != FORMAT_VERSION:
            raise ValueError(f"its format is {facts['version']}, and this program reads {FORMAT_VERSION}")
        caches = {name: _decode_array(files[f"{name}.npy"]) for name in _CACHES if f"{name}.npy" in files}
        styles = {
            match[1]: _decode_frames(files[name]) for name in files if (match := _STYLE_FILE.fullmatch(name))
        }
        return Clip(
            frames=_decode_frames(files["mp4"]),
            landmarks=np.array(facts["landmarks"]),
            face_boxes=np.array(facts["face_boxes"]),
            frame_rate=facts["frame_rate"],
            source=facts["source"],
            styles=styles,
            **caches,
        )
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from error
    except (TypeError, EOFError, av.error.FFmpegError) as error:
        raise ValueError(str(error)) from error


def _encode_frames(frames: NDArray[np.uint8], frame_rate: float, crf: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        rate = Fraction(frame_rate).limit_denominator(1_000_000)
        options = {
            "crf": str(crf),
            "preset": "veryfast",  # slower ones save 5 % where nothing may be lost
            "x264-params": "mbtree=0",  # with it, one run in 150 gave other bytes for pictures of 32×32
        }
        stream: Any = container.add_stream("libx264rgb", rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.thread_count = 1  # the bytes depend on it; clips are made in parallel
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _decode_frames(video: bytes) -> NDArray[np.uint8]:
    frames: list[NDArray[np.uint8]] = []
    with av.open(io.BytesIO(video), format="mp4") as container:
        if not container.streams.video:
            raise ValueError("its video has no pictures")
        # A few bytes of video can be gigabytes of pictures, so they are counted as they come.
        stream = container.streams.video[0]
        check_clip_bytes(3 * stream.width * stream.height)
        for frame in container.decode(video=0):
            # As it is stored, which PyAV puts in the order R, G, B; faster than a conversion.
            frames.append(frame.to_ndarray(format="gbrp"))
            check_clip_bytes(len(frames) * frames[0].nbytes)
    if not frames:
        raise ValueError("its video has no frames")
    return np.stack(frames)


def _decode_array(data: bytes) -> NDArray:
    """An array, once its header asks for no more than there is."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array in it has the format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"an array in it is not as long as its shape {shape} says")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _encode_array(values: NDArray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()
