"""Sees when a run has gone wrong: a loss that is no number, or that has left its best far behind."""

import math
from dataclasses import dataclass

from ..errors import UserError

STEPS = 100  # that the mean loss is taken over


class DivergedError(UserError):
    """The loss shows that training has gone wrong."""


@dataclass
class LossWatch:
    """The running mean of the loss, and the best that it has been.

    Args:
        factor: how many times the best the mean may be; `None` leaves that check out.
    """

    factor: float | None = None
    count: int = 0
    mean: float = 0.0
    best: float = math.inf

    def check(self, step: int, loss: float, gradient_norm: float) -> None:
        """Takes in the loss of a step, before the weights are changed by it.

        Raises:
            DivergedError: it, or the gradient's norm, is not finite, or the mean is too far above its best.
        """
        for name, value in (("loss", loss), ("gradient's norm", gradient_norm)):
            if not math.isfinite(value):
                raise DivergedError(f"The {name} became {value} at step {step}.")
        self.count += 1
        self.mean += (loss - self.mean) / min(self.count, STEPS)
        if self.count < STEPS:
            return
        self.best = min(self.best, self.mean)
        if self.factor is not None and self.mean > self.factor * self.best:
            raise DivergedError(
                f"The mean loss rose to {self.mean:.4g} at step {step}, more than {self.factor:g} times its best, "
                f"{self.best:.4g}."
            )
