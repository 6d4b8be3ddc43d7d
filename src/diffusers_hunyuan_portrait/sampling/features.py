"""What the UNet's inner blocks gave for each frame of a clip, kept from one step to others."""

import torch

from .traffic import Returns, bring
from .windows import Window

NEVER = -1


class DeepFeatures:
    """Features by branch of guidance and by frame, so that they follow the windows, which move at each step.

    Args:
        place: where they are kept: the device, or the host.
        device: where they are wanted.
    """

    def __init__(self, place: torch.device, device: torch.device):
        self.place, self.device, self._returns = place, device, Returns(place)
        self._kept: dict[str, torch.Tensor] = {}  # (1, F, C, h, w)
        self._steps: dict[str, torch.Tensor] = {}  # (F,) on the host: when each was written

    def read(self, branch: str, window: Window, since: int) -> torch.Tensor | None:
        """A window's features on the device, (1, window.size, C, h, w).

        `None` where one of its frames has none of step `since` or later: its branch may not have been run, or
        another process may have run it.
        """
        self._returns.settle()
        if branch not in self._kept or self._steps[branch][window.on("cpu")].min() < since:
            return None
        kept = self._kept[branch]
        return bring(kept[:, window.on(kept.device)], self.device)

    def write(self, branch: str, window: Window, step: int, features: torch.Tensor) -> None:
        """Keeps a window's features of a step; where windows share a frame, the last one's."""
        if branch not in self._kept:
            shape = (1, window.num_frames, *features.shape[2:])
            self._kept[branch] = torch.zeros(shape, dtype=features.dtype, device=self.place)
            self._steps[branch] = torch.full((window.num_frames,), NEVER)
        kept = self._kept[branch]
        last_turn = slice(max(window.size - window.num_frames, 0), None)  # each frame once: none is written twice
        frames = window.on(kept.device)[last_turn]

        def receive(arrived: torch.Tensor) -> None:
            kept[:, frames] = arrived

        self._steps[branch][window.on("cpu")] = step
        self._returns.send(features[:, last_turn], receive)
