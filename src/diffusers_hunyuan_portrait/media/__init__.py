"""Files in and out: portraits, driving clips with their sound, and the animated square put back in its picture."""

from .images import MAX_MEGAPIXELS, MIN_SIDE, read_image
from .pasting import paste_back
from .reading_ahead import read_ahead
from .video_reader import FrameSequence, VideoReader, open_frames
from .video_writer import VideoWriter, check_output

__all__ = [
    "MAX_MEGAPIXELS",
    "MIN_SIDE",
    "FrameSequence",
    "VideoReader",
    "VideoWriter",
    "check_output",
    "open_frames",
    "paste_back",
    "read_ahead",
    "read_image",
]
