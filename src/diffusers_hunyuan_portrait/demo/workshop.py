"""Jobs and who does them: one thread a device, with its pipeline, takes the jobs that wait in turn."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..errors import RunInterruptedError, UserError, not_enough_memory
from ..face import Detector
from ..pipeline import HunyuanPortraitPipeline
from .previews import StepPreview

logger = logging.getLogger(__name__)

NOT_YOURS = "Something is wrong with this program, not with what you gave it ({}). The server's log has more."


class Order(Protocol):
    """A video to make, its settings checked."""

    def make(
        self,
        pipe: HunyuanPortraitPipeline,
        detector: Detector,
        on_progress: Callable[[str, int, int], None],
        **run: Any,
    ) -> int:
        """Makes it; gives the seed.

        Raises:
            UserError: a file or a setting is wrong.
            RunInterruptedError: `pipe.interrupt` was set meanwhile.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """How far the work is."""

    name: str
    done: int
    total: int
    seconds: float  # since the stage began

    @property
    def seconds_left(self) -> float | None:
        """Of this stage, if it goes on as so far; `None` where nothing is done yet."""
        return self.seconds * (self.total - self.done) / self.done if self.done else None


class Job:
    """One order: waiting, running, and then done, failed or cancelled.

    Attributes:
        state: "waiting", "running", "done", "failed" or "cancelled".
        stage: how far it is, while it runs.
        preview: the latest picture of its middle frame, as JPEG.
        notes: what the run has warned of.
        error: one sentence, where it failed.
        seed: where it is done.
        seconds: that it ran.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._pipe: HunyuanPortraitPipeline | None = None
        self._cancelled = False
        self._began: tuple[str, float] = ("", 0.0)
        self.state = "waiting"
        self.stage: Stage | None = None
        self.preview: bytes | None = None
        self.notes: list[str] = []
        self.error: str | None = None
        self.seed: int | None = None
        self.seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it neither waits nor runs."""
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Ends it before its next call of the UNet or the VAE; one that is over stays as it is."""
        with self._lock:
            self._cancelled = True
            if self.state == "waiting":
                self.state = "cancelled"
            elif self._pipe is not None:
                self._pipe.interrupt = True

    def run(self, pipe: HunyuanPortraitPipeline, detector: Detector) -> None:
        """Does it, in this thread, unless it was cancelled before."""
        with self._lock:
            if self._cancelled:
                return
            self.state, self._pipe = "running", pipe
        start, outcome = time.perf_counter(), "failed"
        with _Notes(self.notes):
            try:
                preview = StepPreview(pipe, self._show)
                self.seed = self._order.make(pipe, detector, self._report, callback_on_step_end=preview)
                outcome = "done"
            except RunInterruptedError:
                outcome = "cancelled"
            except UserError as error:
                self.error = str(error)
            except (torch.OutOfMemoryError, MemoryError) as error:
                self.error = not_enough_memory(error)
            except Exception as error:  # the server goes on with the next job, whatever it was
                logger.exception("A job failed.")
                self.error = NOT_YOURS.format(type(error).__name__)
        self.seconds = time.perf_counter() - start
        with self._lock:
            self.state, self._pipe = outcome, None

    def _report(self, name: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if self._began[0] != name:
            self._began = name, now
        self.stage = Stage(name, done, total, now - self._began[1])
        if self._cancelled and self._pipe is not None:
            self._pipe.interrupt = True  # once more, as each part of a run begins with resetting it

    def _show(self, picture: bytes) -> None:
        self.preview = picture


class Workshop:
    """Pipelines, each of which does one job at a time; jobs are taken in the order that they came in.

    Args:
        pipes: a pipeline for each device, and what finds faces there.
    """

    def __init__(self, pipes: Sequence[tuple[HunyuanPortraitPipeline, Detector]]) -> None:
        self.detector = pipes[0][1]  # for a look at a picture between jobs
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._open = True
        self._threads = [threading.Thread(target=self._work, args=pair, daemon=True) for pair in pipes]
        for thread in self._threads:
            thread.start()

    def submit(self, order: Order) -> Job:
        """Puts an order at the end of the queue."""
        job = Job(order)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job

    def ahead_of(self, job: Job) -> int:
        """How many jobs are taken before this one."""
        with self._changed:
            waiting = [other for other in self._waiting if other.state == "waiting"]
            return waiting.index(job) if job in waiting else 0

    def close(self) -> None:
        """Takes no more jobs; returns once those that run are over."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, pipe: HunyuanPortraitPipeline, detector: Detector) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._open)
                if not self._open:
                    return
                job = self._waiting.pop(0)
            job.run(pipe, detector)
            del job  # so that nothing of it is held while this thread waits


class _Notes(logging.Handler):
    """Takes down what this package warns of in this thread; for a `with` statement."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes, self._thread = notes, threading.get_ident()
        self._log = logging.getLogger(__name__.split(".")[0])

    def __enter__(self) -> "_Notes":
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and record.exc_info is None:
            self._notes.append(record.getMessage())
