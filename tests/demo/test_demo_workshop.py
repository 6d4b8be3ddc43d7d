"""The queue: jobs in their order, one a device, cancelled at once, and whatever goes wrong in one is told."""

import logging
import threading
from types import SimpleNamespace

import pytest
import torch
from demo_server import wait_until

from diffusers_hunyuan_portrait.demo import Workshop
from diffusers_hunyuan_portrait.demo.workshop import Job, Stage
from diffusers_hunyuan_portrait.errors import RunInterruptedError, UserError


class Machine(SimpleNamespace):
    """As much of a pipeline as the queue knows of."""

    def __init__(self, name: str = "machine") -> None:
        super().__init__(name=name, vae=object(), interrupt=False)


class Order:
    """Runs until `finish`, and takes down what runs where."""

    def __init__(
        self, name: str, log: list, finish: threading.Event | None = None, error: Exception | None = None
    ):
        self.name, self.log, self.finish, self.error = name, log, finish, error

    def make(self, pipe, detector, on_progress, **run) -> int:
        self.log.append((self.name, pipe.name))
        pipe.interrupt = False  # as each part of a real run begins
        on_progress("denoise", 1, 4)
        while self.finish is not None and not self.finish.is_set():
            if pipe.interrupt:
                raise RunInterruptedError("interrupted")
            self.finish.wait(0.01)
        if self.error is not None:
            raise self.error
        return 7


@pytest.fixture
def workshop():
    opened = []

    def make(*names: str) -> Workshop:
        opened.append(Workshop([(Machine(name), object()) for name in names or ("machine",)]))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_jobs_are_done_in_the_order_they_came_in(workshop):
    queue, log, finish = workshop(), [], threading.Event()
    jobs = [queue.submit(Order(str(number), log, finish)) for number in range(4)]
    wait_until(lambda: jobs[0].state == "running", "the first runs")
    assert [job.state for job in jobs] == ["running", "waiting", "waiting", "waiting"]
    assert [queue.ahead_of(job) for job in jobs[1:]] == [0, 1, 2]
    finish.set()
    wait_until(lambda: all(job.is_over for job in jobs), "all are over")
    assert [name for name, _ in log] == ["0", "1", "2", "3"]
    assert [(job.state, job.seed) for job in jobs] == [("done", 7)] * 4


def test_each_device_does_one_job_at_a_time(workshop):
    queue, log, finish = workshop("first", "second"), [], threading.Event()
    jobs = [queue.submit(Order(str(number), log, finish)) for number in range(3)]
    wait_until(lambda: len(log) == 2, "both devices work")
    assert {device for _, device in log} == {"first", "second"}
    assert jobs[2].state == "waiting"
    finish.set()
    wait_until(lambda: jobs[2].is_over, "the third is over")


def test_a_waiting_job_that_is_cancelled_never_runs(workshop):
    queue, log, finish = workshop(), [], threading.Event()
    first, second, third = [queue.submit(Order(str(number), log, finish)) for number in range(3)]
    wait_until(lambda: first.state == "running", "the first runs")
    second.cancel()
    assert second.state == "cancelled"
    assert queue.ahead_of(third) == 0
    finish.set()
    wait_until(lambda: third.is_over, "the third is over")
    assert [name for name, _ in log] == ["0", "2"]


def test_a_running_job_is_cancelled_and_the_next_begins(workshop):
    queue, log = workshop(), []
    first, second = queue.submit(Order("0", log, threading.Event())), queue.submit(Order("1", log))
    wait_until(lambda: first.stage is not None, "the first runs")
    first.cancel()
    wait_until(lambda: second.is_over, "the second is over")
    assert (first.state, second.state) == ("cancelled", "done")
    first.cancel()
    second.cancel()  # what is over stays as it is
    assert (first.state, second.state) == ("cancelled", "done")


def test_a_cancelled_part_stays_so_when_the_next_part_of_the_run_begins():
    pipe, job = Machine(), None

    class InParts:
        def make(self, pipe, detector, on_progress, **run):
            job.cancel()
            pipe.interrupt = False  # which the next part resets
            on_progress("decode", 0, 4)
            assert pipe.interrupt
            raise RunInterruptedError("interrupted")

    job = Job(InParts())
    job.run(pipe, object())
    assert job.state == "cancelled"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("Give another portrait."), "Give another portrait."),
        (torch.OutOfMemoryError("12 GB wanted"), "There is not enough memory (12 GB wanted); choose"),
        (ZeroDivisionError("of ours"), "Something is wrong with this program"),
    ],
)
def test_a_job_that_fails_says_why_and_the_next_is_done(workshop, caplog, error, sentence):
    queue = workshop()
    failed, next_one = queue.submit(Order("0", [], error=error)), queue.submit(Order("1", []))
    wait_until(lambda: next_one.is_over, "the next is over")
    assert (failed.state, next_one.state) == ("failed", "done")
    assert failed.error.startswith(sentence)
    # What is no fault of the visitor's goes to the log in full, and there alone.
    assert ("of ours" in caplog.text) == isinstance(error, ZeroDivisionError)
    assert "of ours" not in failed.error


def test_what_the_package_warns_of_stands_with_the_job_that_it_is_of(workshop):
    finish = threading.Event()

    class Warning(Order):
        def make(self, *given, **run):
            logging.getLogger("diffusers_hunyuan_portrait.animation").warning("about %s", self.name)
            return super().make(*given, **run)

    queue = workshop("first", "second")
    jobs = [queue.submit(Warning(name, [], finish)) for name in ("this", "that")]
    wait_until(lambda: all(job.stage for job in jobs), "both run")
    logging.getLogger("diffusers_hunyuan_portrait").warning("about neither")
    finish.set()
    wait_until(lambda: all(job.is_over for job in jobs), "both are over")
    assert [job.notes for job in jobs] == [["about this"], ["about that"]]


def test_the_time_left_is_that_of_the_rest_at_the_speed_so_far():
    assert Stage("denoise", 0, 8, 3.0).seconds_left is None
    assert Stage("denoise", 2, 8, 3.0).seconds_left == 9.0
    assert Stage("denoise", 8, 8, 3.0).seconds_left == 0
