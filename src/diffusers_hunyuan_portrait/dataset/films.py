"""Which films there are to prepare, and the copies of them in other styles."""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..media import VideoReader

EXTENSIONS = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
LIST = ".txt"
_STYLE_COPY = re.compile(r".+\.style-([a-z0-9_-]+)")  # NAME.style-X.mp4 beside NAME.mp4


@dataclass(frozen=True)
class Film:
    """A video to cut clips from."""

    name: str  # its path as it was found, by which a later run knows it again
    path: Path

    @property
    def key(self) -> str:
        """What the names of its clips begin with: readable, free of dots, and its own."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.name).stem)[:40].strip("-")
        return f"{readable or 'film'}-{zlib.crc32(self.name.encode()):08x}"

    def open_styles(self, film: VideoReader) -> tuple[dict[str, VideoReader], dict[str, str]]:
        """The copies of this film in other styles, by name; and, by file name, why others cannot be used."""
        styles, unfit = {}, {}
        for path in sorted(self.path.parent.iterdir()):
            match = _STYLE_COPY.fullmatch(path.stem)
            if match is None or path.stem != f"{self.path.stem}.style-{match[1]}" or path.suffix not in EXTENSIONS:
                continue
            try:
                copy = VideoReader(path)
            except UserError as error:
                unfit[path.name] = str(error)
                continue
            facts = [(clip.frame_count, clip.width, clip.height) for clip in (copy, film)]
            if facts[0] == facts[1]:
                styles[match[1]] = copy
            else:
                (frames, width, height), (film_frames, film_width, film_height) = facts
                unfit[path.name] = (
                    f"it has {frames} frames of {width}x{height}, and the film {film_frames} of "
                    f"{film_width}x{film_height}"
                )
        return styles, unfit


def find_films(videos: Path) -> list[Film]:
    """The films of a folder and the folders in it; of a list, a text file of one path a line; or the one file.

    Hidden files, and copies in other styles (`NAME.style-X.mp4`), are left out.

    Raises:
        UserError: there is no such path, or nothing in it is a film.
    """
    if videos.is_dir():
        paths = [path for path in sorted(videos.rglob("*")) if path.suffix.lower() in EXTENSIONS]
        names = {path.relative_to(videos).as_posix(): path for path in paths}
        visible = {name: path for name, path in names.items() if not re.search(r"(^|/)\.", name)}
        films = [Film(*entry) for entry in visible.items() if not _STYLE_COPY.fullmatch(entry[1].stem)]
        if not films:
            raise UserError(
                f"The folder {videos} holds no videos ({', '.join(sorted(EXTENSIONS))}); give another."
            )
        return films
    if not videos.is_file():
        raise UserError(f"There is no file or folder {videos}; give a folder of videos, a list of them, or one.")
    if videos.suffix.lower() != LIST:
        return [Film(videos.name, videos)]
    try:
        lines = videos.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The list {videos} cannot be read ({error}); give a text file of one path a line."
        ) from error
    names = {line.strip(): videos.parent / line.strip() for line in lines if line.strip()}
    if not names:
        raise UserError(f"The list {videos} names no videos; write the path of one in each line.")
    return [Film(*entry) for entry in names.items()]
