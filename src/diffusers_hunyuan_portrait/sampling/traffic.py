"""Copies between the host's memory and a device that nobody waits for."""

from collections.abc import Callable

import torch


class Traffic:
    """Brings tensors to a device and back.

    Beside a GPU the host's side is pinned memory. What goes there does not wait for it; what comes back is handed
    on when the next does, by when it has long arrived. Elsewhere nothing is put off.

    Args:
        device: where the networks run.
    """

    def __init__(self, device: torch.device):
        self.device, self.is_pinned = device, device.type == "cuda"
        self._coming: tuple[torch.Tensor, Callable[[torch.Tensor], None], torch.cuda.Event] | None = None

    def bring(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor on the device."""
        if self.is_pinned and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def send(self, tensor: torch.Tensor, receive: Callable[[torch.Tensor], None]) -> None:
        """Has `receive` called with a copy of a device's tensor on the host, at the latest by `settle`."""
        if not self.is_pinned:
            receive(tensor.cpu())
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
