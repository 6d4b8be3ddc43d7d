"""Several processes, each with a device of its own, that share the work of one run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import UserError

T = TypeVar("T")


class LostRankError(UserError):
    """Another process of the run has ended, or does not answer."""


class Ranks:
    """One process of those that share a run, and what they tell each other; by itself it is all of them.

    All of them make the same calls in the same order.

    Args:
        group: of `torch.distributed`, the default one if none is named; `shared=False` needs none.
        shared: whether there are others.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, shared: bool = False):
        self.group, self.shared = group, shared
        self.rank = dist.get_rank(group) if shared else 0
        self.size = dist.get_world_size(group) if shared else 1

    def part(self, count: int) -> range:
        """This process's own of `count` equal pieces of work: neighbours, one more or less than others have."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The others do what is within when the first has done it."""
        if self.shared and self.rank > 0:
            self._wait_for_all()
        yield
        if self.shared and self.rank == 0:
            self._wait_for_all()

    def _wait_for_all(self) -> None:
        with _telling_of_lost_ranks():
            dist.barrier(group=self.group)

    def hand_out(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them; or its error."""
        if not self.shared:
            return make()
        found: list[Any] = [None, None]
        error: BaseException | None = None
        if self.rank == 0:
            try:
                found[0] = make()
            except Exception as raised:
                error = raised
                found[1] = str(raised)
        with _telling_of_lost_ranks():
            dist.broadcast_object_list(found, group=self.group, group_src=0)
        if error is not None:
            raise error
        if found[1] is not None:
            raise UserError(found[1])
        return found[0]

    def agree(self, flag: bool) -> bool:
        """Whether it is true in any of them."""
        if not self.shared:
            return flag
        flags: list[Any] = [None] * self.size
        with _telling_of_lost_ranks():
            dist.all_gather_object(flags, flag, group=self.group)
        return any(flags)

    def add_up(self, tensor: torch.Tensor) -> None:
        """Puts the sum over all of them in its place."""
        if self.shared:
            with _telling_of_lost_ranks():
                dist.all_reduce(tensor, group=self.group)

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every process's tensor, all of one shape, in the order of their ranks."""
        if not self.shared:
            return [tensor]
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        with _telling_of_lost_ranks():
            dist.all_gather(gathered, tensor.contiguous(), group=self.group)
        return gathered


@contextmanager
def _telling_of_lost_ranks() -> Iterator[None]:
    """Around a collective.

    Raises:
        LostRankError: another process takes no part in it.
    """
    try:
        yield
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise LostRankError(
            f"Another process of this run has ended or does not answer ({first_line}); the run is given up."
        ) from error
