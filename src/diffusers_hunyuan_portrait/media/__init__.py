"""Files in and out: portraits, driving clips with their sound, and the animated square put back in its picture."""

from .blending import add_tint, border_tint, colour_match, face_mask, recolour, shrink
from .codecs import CODECS, PICTURES
from .composing import ContactSheet, side_by_side
from .excerpts import DEFAULT_FRAME_RATE, Excerpt, check_excerpt, times_of
from .images import MIN_SIDE, parse_colour, read_image
from .pasting import paste_back
from .paths import writable_folder
from .picture_writer import PictureWriter
from .reading_ahead import read_ahead
from .sound import Sound, has_sound
from .video_reader import FrameSequence, VideoReader, open_frames
from .video_writer import VideoWriter, check_output

__all__ = [
    "CODECS",
    "DEFAULT_FRAME_RATE",
    "MIN_SIDE",
    "PICTURES",
    "ContactSheet",
    "Excerpt",
    "FrameSequence",
    "PictureWriter",
    "Sound",
    "VideoReader",
    "VideoWriter",
    "add_tint",
    "border_tint",
    "check_excerpt",
    "check_output",
    "colour_match",
    "face_mask",
    "has_sound",
    "open_frames",
    "parse_colour",
    "paste_back",
    "read_ahead",
    "read_image",
    "recolour",
    "shrink",
    "side_by_side",
    "times_of",
    "writable_folder",
]
