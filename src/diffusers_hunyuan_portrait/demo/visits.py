"""What belongs to one visit of the page: its folder, its uploads, its jobs and results; all goes with it."""

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from .workshop import Job

LONGEST_SILENCE = 24 * 3600  # seconds; what is said last after a page was closed begins a visit that nobody ends


@dataclass
class Result:
    """One finished video of a visit."""

    name: str  # as the history lists it
    video: Path
    comparison: Path | None
    settings: dict[str, Any]
    command: str


@dataclass
class Visit:
    """One visit.

    Attributes:
        folder: where its results are; nobody can guess its name.
        uploads: files that it has sent.
        results: what it has made, the latest last.
        jobs: those of its jobs that are not over.
        count: of the jobs that it has asked for.
        seen: when it was last heard of, by the clock of `time.monotonic`.
    """

    folder: Path
    uploads: set[Path] = field(default_factory=set)
    results: list[Result] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    count: int = 0
    seen: float = field(default_factory=time.monotonic)

    @property
    def is_at_work(self) -> bool:
        """Whether a job of it waits or runs."""
        return not all(job.is_over for job in self.jobs)

    def cancel(self) -> None:
        """Ends all its jobs."""
        for job in self.jobs:
            job.cancel()


class Visits:
    """All visits of the page.

    Args:
        root: the folder for their files, which the server gives out; it is made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    def of(self, session: str) -> Visit:
        """The visit of a session, a new one where it is new; who was not heard of for a day is taken for gone."""
        with self._lock:
            is_new = session not in self._visits
            if is_new:
                folder = self.root / secrets.token_urlsafe(24)
                folder.mkdir()
                self._visits[session] = Visit(folder)
            visit = self._visits[session]
            visit.seen = time.monotonic()
            latest = visit.seen - LONGEST_SILENCE
            gone = [name for name, other in self._visits.items() if other.seen < latest and not other.is_at_work]
        for name in gone if is_new else ():
            self.end(name)
        return visit

    def hold(self, session: str, upload: str) -> Path:
        """Keeps an upload until the visit ends; gives its path.

        Raises:
            UserError: it is none. A client may name anything in the visits' folder, and that folder too.
        """
        path = Path(upload)
        if not path.is_file() or self.root.resolve() not in path.resolve().parents:
            raise UserError(f"There is no upload {path.name!r}; upload the file, or upload it again.")
        self.of(session).uploads.add(path)
        return path

    def end(self, session: str) -> None:
        """Cancels the visit's jobs and removes its files, but for those uploads that another has sent too.

        Who sends the same file again gives it the same place, so that one file may belong to two visits.
        """
        with self._lock:
            visit = self._visits.pop(session, None)
            if visit is None:
                return
            elsewhere = {path for other in self._visits.values() for path in other.uploads}
        visit.cancel()
        for path in visit.uploads - elsewhere:
            path.unlink(missing_ok=True)
            if path.parent != self.root and not any(path.parent.iterdir()):
                path.parent.rmdir()
        shutil.rmtree(visit.folder, ignore_errors=True)

    def end_all(self) -> None:
        """Ends every visit."""
        for session in list(self._visits):
            self.end(session)
