"""What the terminal shows while a command runs: progress, notes and errors, all on standard error."""

import logging
import sys
from types import TracebackType

import typer
from diffusers.utils import logging as diffusers_logging
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from ..hub.consent import Notice
from ..progress import Progress

console = Console(stderr=True, highlight=False)

STAGES = {
    "detect": "Following the face",
    "encode": "Encoding the motion",
    "denoise": "Denoising (steps × windows)",
    "decode": "Decoding and writing",
    "train": "Training (steps)",
    "films": "Cutting films",
    "evaluate": "Measuring (pairs)",
    "download": "Fetching (MB)",
    "check": "Checking (MB)",
    "convert": "Converting (MB)",
    "bundle": "Copying (MB)",
}


class ConsoleHandler(logging.Handler):
    """Shows log records as notes that do not disturb a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = f"[yellow]{record.levelname.capitalize()}:[/] " if record.levelno > logging.INFO else ""
        console.print(kind + escape(record.getMessage()), soft_wrap=True)


def show_log(level: int) -> None:
    """Shows this package's log on the terminal from `level` on, and no progress bars but our own.

    Of the Hub's client the warnings are shown alike.
    """
    log = logging.getLogger(__name__.split(".")[0])
    log.setLevel(level)
    log.handlers = [ConsoleHandler(level)]
    log.propagate = False
    logging.getLogger("huggingface_hub").handlers = [ConsoleHandler(logging.WARNING)]
    diffusers_logging.disable_progress_bar()


def show_error(sentence: str) -> None:
    """Shows what went wrong."""
    console.print(f"[bold red]Error:[/] {escape(sentence)}", soft_wrap=True)


def is_on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and console.is_terminal


def ask_to_accept(notice: Notice) -> bool:
    """Asks whether the licences in a notice, which the log has shown, are accepted."""
    return typer.confirm(f"Do you accept the licences of {notice.model}?", default=False, err=True)


def in_megabytes(progress: Progress) -> Progress:
    """`progress` for what reports bytes."""

    def report(stage: str, done: int, total: int) -> None:
        progress(stage, done // 10**6, total // 10**6)

    return report


class StageProgress:
    """One bar a stage, each shown from its first report on; to be used in a `with` statement and called.

    Until then the terminal is free, for a question.
    """

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StageProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self._tasks:
            self._bars.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(STAGES.get(stage, stage), total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)
