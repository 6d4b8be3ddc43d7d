"""Long work in stretches: what one leaves off, the next goes on with, and a record tells what it all took."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

WARM_UP = 100  # steps
LAST_RATE = 0.02  # of the highest


class Work:
    """A folder for all that is made, with a record of it, and the time at which this stretch ends.

    Args:
        folder: made where it is missing.
        minutes: length of this stretch.
    """

    def __init__(self, folder: Path, minutes: float):
        self.folder, self._end = folder, time.monotonic() + 60 * minutes
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def minutes_left(self) -> float:
        """Of this stretch; 0 when it is over."""
        return max(0.0, (self._end - time.monotonic()) / 60)

    @property
    def record(self) -> dict[str, dict[str, Any]]:
        """What is known of each part: its minutes, and what else was noted."""
        return {
            file.stem: json.loads(file.read_text()) for file in sorted((self.folder / "record").glob("*.json"))
        }

    def note(self, part: str, **facts: Any) -> None:
        """Adds facts of a part to the record; each part has a file, as several may be at work."""
        file = self._file(part)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(self._facts(part) | facts, indent=1) + "\n")

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Adds the minutes of the `with` block to those that the part has taken."""
        start = time.monotonic()
        try:
            yield
        finally:
            before = self._facts(part).get("minutes", 0.0)
            self.note(part, minutes=round(before + (time.monotonic() - start) / 60, 2))

    def _facts(self, part: str) -> dict[str, Any]:
        """Of one part: the files of others may be half written, by the process that is at work on them."""
        file = self._file(part)
        return json.loads(file.read_text()) if file.exists() else {}

    def _file(self, part: str) -> Path:
        return self.folder / "record" / f"{part.replace('/', '-')}.json"


def learn(
    work: Work,
    name: str,
    networks: nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
) -> bool:
    """Minimises `loss_at(step)` with AdamW in bfloat16, as far as this stretch lasts; gives whether it is done.

    What is random in a step must come from its number alone.

    Args:
        name: of the part, for the record and for the file that its state is kept in.
        networks: all that is trained.
    """
    optimizer = torch.optim.AdamW(
        networks.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    state_file, done = _state_file(work, name), 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        networks.load_state_dict(state["networks"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = state["step"]
    if done == steps:
        return True
    networks.train()
    mean_loss = math.nan
    with work.timed(name), row_major_norms(networks):
        while done < steps and work.minutes_left:
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_at(done)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            mean_loss = loss.item() if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * loss.item()
            if done % 100 == 0:
                left = f"{work.minutes_left:.0f} minutes of this stretch left"
                print(f"{name}: step {done} of {steps}, loss {mean_loss:.4f}, {left}", flush=True)
    work.note(name, steps=done, loss=round(mean_loss, 4))
    state_file.parent.mkdir(exist_ok=True)
    partial = state_file.with_suffix(".part")
    state = {"networks": networks.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "schedule": schedule.state_dict(), "step": done}, partial)
    partial.replace(state_file)
    return done == steps


@contextmanager
def row_major_norms(networks: nn.Module) -> Iterator[None]:
    """Hands each group norm its pictures row by row, as torch 2.13 is slow where their channels come last.

    On the CPU its backward pass then takes twenty times as long, and after the first attention they always do.
    """
    handles = [
        module.register_forward_pre_hook(lambda module, arguments: (arguments[0].contiguous(), *arguments[1:]))
        for module in networks.modules()
        if isinstance(module, nn.GroupNorm)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def load_networks(work: Work, name: str) -> dict[str, torch.Tensor]:
    """The state of what `learn` has trained under this name."""
    return torch.load(_state_file(work, name), weights_only=True)["networks"]


def _state_file(work: Work, name: str) -> Path:
    return work.folder / "state" / f"{name}.pt"


def _rate(step: int, steps: int) -> float:
    """Up in a straight line, then down along a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))
