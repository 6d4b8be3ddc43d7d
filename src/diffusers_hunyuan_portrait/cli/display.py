"""What the terminal shows while a command runs: progress, notes and errors, all on standard error."""

import logging
from types import TracebackType

from diffusers.utils import logging as diffusers_logging
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False)

STAGES = {
    "detect": "Following the face",
    "encode": "Encoding the motion",
    "denoise": "Denoising (steps × windows)",
    "decode": "Decoding and writing",
    "convert": "Converting (MB)",
}


class ConsoleHandler(logging.Handler):
    """Shows log records as notes that do not disturb a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(f"[yellow]{record.levelname.capitalize()}:[/] {escape(record.getMessage())}", soft_wrap=True)


def show_log(level: int) -> None:
    """Shows this package's log on the terminal from `level` on, and no progress bars but our own."""
    log = logging.getLogger(__name__.split(".")[0])
    log.handlers = [ConsoleHandler(level)]
    log.propagate = False
    diffusers_logging.disable_progress_bar()


def show_error(sentence: str) -> None:
    """Shows what went wrong."""
    console.print(f"[bold red]Error:[/] {escape(sentence)}", soft_wrap=True)


class StageProgress:
    """One bar a stage, each shown from its first report on; to be used in a `with` statement and called."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StageProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(STAGES.get(stage, stage), total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)
