"""Find out from a container's own sizes, without decoding, whether a video file has been cut short."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_EBML_HEADER, _EBML_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ISO_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot"}
_TS_PACKET, _TS_SYNC = 188, 0x47


def why_cut_short(path: Path) -> str | None:
    """Half a sentence on what shows that the file ends early, or None where nothing does.

    Known for MP4/MOV (every top-level box must end inside the file, and one must be the index), Matroska/WebM
    (the segment), AVI and other RIFF files (the outer chunks), FLV (its tags), GIF (its blocks), and MPEG-TS
    (whole packets). A Matroska file written live gives no size, and MPEG-PS or raw streams hold none: for them
    nothing can be known.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[4:8] in _ISO_FIRST_BOXES:
            return _iso(file, size)
        if start[:4] == _EBML_HEADER:
            return _matroska(file, size)
        if start[:4] == b"RIFF":
            return _riff(file, size)
        if start[:4] == b"FLV\x01":
            return _flash(file, size)
        if start[:6] in (b"GIF87a", b"GIF89a"):
            return _gif(file)
        if start[:1] == bytes([_TS_SYNC]):
            return _transport_stream(file, size)
    return None


def _iso(file: BinaryIO, size: int) -> str | None:
    names = set()
    for name, start, length in _iso_boxes(file, size):
        names.add(name)
        if start + length > size:
            return f"{start + length - size:,} bytes of its {_readable(name)} box are missing"
    if b"mdat" in names and b"moov" not in names:
        return "its index, the moov box, is missing"
    return None


def _readable(name: bytes) -> str:
    """As a sentence can have it, whatever stands there."""
    return name.decode("ascii", "replace") if name.isalnum() else "last"


def _iso_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of each top-level box; a length may reach over the file's end."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:  # a 64-bit length follows
            wide = file.read(8)
            if len(wide) < 8:
                return
            length = struct.unpack(">Q", wide)[0]
        elif length == 0:  # to the end of the file
            length = size - position
        if length < 8:  # padding or other bytes that are no box
            return
        yield name, position, length
        position += length


def _matroska(file: BinaryIO, size: int) -> str | None:
    file.seek(4)
    header = _ebml_size(file)
    if header is None:
        return None
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _EBML_SEGMENT:
        return "nothing follows its header" if file.tell() >= size else None
    segment = _ebml_size(file)
    if segment is None:  # written live
        return None
    missing = file.tell() + segment - size
    return f"{missing:,} bytes of its segment are missing" if missing > 0 else None


def _ebml_size(file: BinaryIO) -> int | None:
    """A variable-length size, or None for the one that means "unknown" or where the file ends."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()  # the leading zeros count the bytes that follow
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    bits = 7 * length
    value = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _riff(file: BinaryIO, size: int) -> str | None:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or length in (0, 0xFFFFFFFF):  # not filled in by the recorder
            return None
        # A missing padding byte at the very end is common and harmless.
        if position + 8 + length > size + 1:
            return f"{position + 8 + length - size:,} bytes of its RIFF chunk are missing"
        position += 8 + length + length % 2
    return None


def _flash(file: BinaryIO, size: int) -> str | None:
    file.seek(5)
    position = int.from_bytes(file.read(4), "big") + 4  # the header, and the size of the tag before the first
    while position < size:
        file.seek(position + 1)
        position += 11 + int.from_bytes(file.read(3), "big") + 4  # tag header, its data, its size once more
    return f"{position - size:,} bytes of its last tag are missing" if position > size else None


def _gif(file: BinaryIO) -> str | None:
    file.seek(10)
    flags = file.read(1)
    file.seek(2 + _gif_palette(flags), os.SEEK_CUR)  # background colour and aspect stand before the palette
    while (kind := file.read(1)) in (b"!", b","):  # an extension or a picture
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        else:
            file.seek(8, os.SEEK_CUR)
            file.seek(_gif_palette(file.read(1)) + 1, os.SEEK_CUR)
        while (length := file.read(1)) not in (b"\0", b""):
            file.seek(length[0], os.SEEK_CUR)
    return None if kind else "its last block is missing"


def _gif_palette(flags: bytes) -> int:
    """Bytes of the palette that a byte of flags announces."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _transport_stream(file: BinaryIO, size: int) -> str | None:
    file.seek(0)
    head = file.read(4 * _TS_PACKET + 1)
    if len(head) <= _TS_PACKET or any(byte != _TS_SYNC for byte in head[::_TS_PACKET]):
        return None
    rest = size % _TS_PACKET
    return f"its last packet has {rest} of {_TS_PACKET} bytes" if rest else None
