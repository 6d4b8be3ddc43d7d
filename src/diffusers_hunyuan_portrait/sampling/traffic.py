"""Copies between the host's memory and a device that nobody waits for."""

from collections.abc import Callable

import torch


def bring(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on the device; from the host to a GPU by pinned memory, which need not be waited for."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Returns:
    """Tensors on their way to where they are kept.

    Those of a GPU for the host are handed on when the next one comes, by when they have long arrived; others at
    once.

    Args:
        place: where they are kept: the device that they are made on, or the host.
    """

    def __init__(self, place: torch.device) -> None:
        self.place = place
        self._coming: tuple[torch.Tensor, Callable[[torch.Tensor], None], torch.cuda.Event] | None = None

    def send(self, tensor: torch.Tensor, receive: Callable[[torch.Tensor], None]) -> None:
        """Has `receive` called with the tensor where it is to be kept, at the latest by `settle`."""
        if tensor.device == self.place or tensor.device.type != "cuda":
            receive(tensor.to(self.place))
            return
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self.settle()
        self._coming = copy, receive, arrived

    def settle(self) -> None:
        """Hands on what is still coming."""
        if self._coming is not None:
            copy, receive, arrived = self._coming
            arrived.synchronize()
            self._coming = None
            receive(copy)
