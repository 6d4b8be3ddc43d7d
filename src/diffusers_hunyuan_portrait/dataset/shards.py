"""Clips in WebDataset shards: tar files written whole or not at all, and read clip by clip in any order."""

import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ..errors import UserError
from ..limits import check_clip_bytes
from .clip import Clip
from .encoding import LOSSLESS, decode_clip, encode_clip

_SHARD = re.compile(r"clips-(\d{6,})\.tar")


class ClipWriter:
    """Writes clips into `clips-000000.tar`, `clips-000001.tar`, …; to be used in a `with` statement.

    A shard appears under its name when it is full, or at the end of the `with` block; until then it has a hidden
    name, which an error or interruption removes. Shards that the folder has are kept, and numbering goes on.

    Args:
        folder: made where it is missing.
        clips_per_shard: clips in a full shard.
        crf: x264's quality of the frames, 0 (lossless) to 51.

    Raises:
        UserError: the folder cannot be made, or clips_per_shard is not positive.
    """

    def __init__(self, folder: str | os.PathLike[str], clips_per_shard: int = 64, *, crf: int = LOSSLESS) -> None:
        if clips_per_shard < 1:
            raise UserError(f"A shard must hold at least one clip, not {clips_per_shard}.")
        self.folder, self.clips_per_shard, self.crf = Path(folder), clips_per_shard, crf
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The folder {folder} cannot be made: {error.strerror}.") from error
        self._number = max((number for number, _ in _find_shards(self.folder)), default=-1) + 1
        self._count = 0
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> "ClipWriter":
        return self

    def write(self, clip: Clip, key: str | None = None) -> None:
        """Add a clip; `key`, without a dot, tells it from the others, and is a number by default.

        Raises:
            ValueError: the key or a style's name cannot be that of a file in a WebDataset.
            UserError: the disk does not take it.
        """
        self.write_files(key or f"{self._number:06d}-{self._count:06d}", encode_clip(clip, self.crf))

    @property
    def shard(self) -> int:
        """The number of the shard that the next clip goes into; those below are whole."""
        return self._number

    def write_files(self, key: str, files: Mapping[str, bytes]) -> None:
        """Add a clip that `encode_clip` has made files of; see `write`."""
        if not re.fullmatch(r"[^./\\]+", key):
            raise ValueError(f"A clip's key must have no dots or slashes, unlike {key!r}.")
        try:
            if self._tar is None:
                self._tar = tarfile.open(self._unfinished, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
            for extension, content in files.items():
                entry = tarfile.TarInfo(f"{key}.{extension}")
                entry.size = len(content)
                self._tar.addfile(entry, io.BytesIO(content))
            self._count += 1
            if self._count == self.clips_per_shard:
                self.close()
        except OSError as error:
            self._abandon()
            raise UserError(f"No shard can be written in {self.folder}: {error.strerror}.") from error

    def close(self) -> None:
        """End the shard that is being written, if there is one; a further `write` begins another."""
        if self._tar is not None:
            self._tar.close()
            self._unfinished.replace(self.folder / f"clips-{self._number:06d}.tar")
            self._tar, self._count, self._number = None, 0, self._number + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def _abandon(self) -> None:
        if self._tar is not None and self._tar.fileobj is not None:
            self._tar.fileobj.close()  # not the archive, which would write its end to a disk that may be full
            self._unfinished.unlink(missing_ok=True)
        self._tar, self._count = None, 0

    @property
    def _unfinished(self) -> Path:
        # Always the same, so that what a killed run left behind is written over.
        return self.folder / f".clips-{self._number:06d}.tar"


class _Part(NamedTuple):
    """Where a file lies in a shard."""

    start: int
    size: int


class _Entry(NamedTuple):
    """Where a clip lies."""

    shard: Path
    parts: dict[str, _Part]  # by extension


class ClipShards:
    """The clips of a folder, each by its number, without unpacking.

    Only an index is kept in memory, and no file stays open, so that it can be handed to a DataLoader's workers,
    forked or spawned.

    Args:
        folder: with the shards that `ClipWriter` wrote.

    Raises:
        UserError: the folder has no shards, or one is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        shards = [path for _, path in sorted(_find_shards(self.folder))]
        if not shards:
            raise UserError(
                f"{folder} holds no clips (clips-000000.tar …); make them by `hunyuan-portrait prepare`."
            )
        self._entries = {key: entry for shard in shards for key, entry in _index(shard)}
        self.keys = list(self._entries)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Clip:
        """Clip number `index`, in the order of writing.

        Raises:
            IndexError: there are not as many.
            UserError: it is damaged or of another version, or its shard is gone.
        """
        key = self.keys[index]
        try:
            return decode_clip(self.read_files(key))
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            shard = self._entries[key].shard
            raise UserError(f"The clip {key} in {shard} cannot be read: {error}; make the shard anew.") from error

    def read_files(self, key: str) -> dict[str, bytes]:
        """The files of a clip by their extensions, as `ClipWriter.write_files` takes them.

        Raises:
            UserError: its shard is gone, or it is too large (`limits`).
        """
        shard, parts = self._entries[key]
        check_clip_bytes(sum(part.size for part in parts.values()))
        try:
            with shard.open("rb") as file:
                return {extension: _read(file, part) for extension, part in parts.items()}
        except OSError as error:
            raise UserError(f"The shard {shard} cannot be read: {error.strerror}.") from error


def _find_shards(folder: Path) -> Iterator[tuple[int, Path]]:
    """The shards of a folder with their numbers."""
    for path in folder.glob("clips-*.tar"):
        if match := _SHARD.fullmatch(path.name):
            yield int(match[1]), path


def _index(shard: Path) -> Iterator[tuple[str, _Entry]]:
    entries: dict[str, _Entry] = {}
    try:
        size = shard.stat().st_size
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size > size:
                    raise UserError(f"The shard {shard} is damaged (it is cut short); remove it and make it anew.")
                key, _, extension = member.name.partition(".")
                parts = entries.setdefault(key, _Entry(shard, {})).parts
                parts[extension] = _Part(member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"The shard {shard} is damaged ({error}); remove it and make it anew.") from error
    yield from entries.items()


def _read(file: io.BufferedReader, part: _Part) -> bytes:
    file.seek(part.start)
    return file.read(part.size)
