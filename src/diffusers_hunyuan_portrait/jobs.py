"""A list of videos to make, as a table: one job a line, read as data only."""

import csv
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError
from .face import names_place

PATHS = ("portrait", "driving", "output")
FURTHER_PATHS = ("compare", "preview", "certificate", "key")
PATHS_OR_PLACES = ("portrait_face", "driving_face")
MOST_JOBS = 100_000
MOST_BYTES = 64 * 2**20  # of the table


@dataclass(frozen=True)
class Job:
    """One line of the table."""

    line: int  # in the file, counted from 1
    portrait: Path
    driving: Path
    output: Path
    words: dict[str, str]  # of the other columns, those that are not empty


def read_jobs(path: str | os.PathLike[str], columns: Collection[str], *, allow_outside: bool = False) -> list[Job]:
    """The jobs of a CSV file in UTF-8, whose first line names the columns.

    Paths are relative to the table's folder, and stay in it.

    Args:
        path: the table.
        columns: what columns there may be beside portrait, driving and output.
        allow_outside: let paths lead out of the table's folder.

    Raises:
        UserError: the file cannot be read, is no such table, or a line is wrong, which is named.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"The table {path} has more than {MOST_BYTES // 2**20} MiB; divide it.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = [name.strip().replace("-", "_") for name in next(rows, [])]
            _check_columns(path, names, columns)
            jobs = [
                _job(
                    path, rows.line_num, dict(zip(names, row, strict=False)), len(row) - len(names), allow_outside
                )
                for row in rows
                if any(cell.strip() for cell in row)
            ]
    except OSError as error:
        raise UserError(f"The table {path} cannot be read: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no table of jobs in CSV and UTF-8 ({error}).") from error
    if len(jobs) > MOST_JOBS:
        raise UserError(f"The table {path} has {len(jobs):,} jobs; divide it into parts of {MOST_JOBS:,}.")
    _check_outputs(path, jobs)
    return jobs


def _check_columns(path: Path, names: list[str], columns: Collection[str]) -> None:
    missing = [name for name in PATHS if name not in names]
    if missing:
        raise UserError(f"The table {path} has no column {', '.join(missing)}; its first line must name it.")
    unknown = [name for name in names if name not in columns and name not in PATHS]
    if unknown:
        raise UserError(
            f"The table {path} has a column {unknown[0]!r}; there may be {', '.join((*PATHS, *sorted(columns)))}."
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"The table {path} has the column {twice[0]} twice.")


def _job(path: Path, line: int, cells: dict[str, str], surplus: int, allow_outside: bool) -> Job:
    if surplus > 0:
        raise UserError(f"Line {line} of {path} has {surplus} cells more than its first line names.")
    words = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
    paths = {}
    for name in PATHS:
        if name not in words:
            raise UserError(f"Line {line} of {path} has no {name}.")
        paths[name] = _inside(path, line, words.pop(name), allow_outside)
    for name in (*FURTHER_PATHS, *PATHS_OR_PLACES):
        if name in words and not (name in PATHS_OR_PLACES and names_place(words[name])):
            words[name] = str(_inside(path, line, words[name], allow_outside))
    return Job(line, **paths, words=words)


def _inside(table: Path, line: int, text: str, allow_outside: bool) -> Path:
    if "\0" in text:
        raise UserError(f"Line {line} of {table} has a path with a character that no path has.")
    folder = table.parent.resolve()
    path = folder / text
    if not allow_outside and not path.resolve().is_relative_to(folder):
        raise UserError(f"Line {line} of {table} leads out of its folder, to {text}; allow it, or move the file.")
    return path


def _check_outputs(path: Path, jobs: list[Job]) -> None:
    first: dict[Path, int] = {}
    for job in jobs:
        line = first.setdefault(job.output.resolve(), job.line)
        if line != job.line:
            raise UserError(f"Lines {line} and {job.line} of {path} have the same output, {job.output}.")
