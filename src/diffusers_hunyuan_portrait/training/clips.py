"""Batches for training, in an order that is a function of the seed and the step alone."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..dataset import Clip
from .config import TrainingConfig
from .examples import Sizes, make_example

# What a draw is for: each has a stream of random numbers of its own.
ORDER, LENGTH, EXAMPLE = range(3)


class Clips(Protocol):
    """Clips by their number, as `ClipShards` gives them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Clip: ...


class Examples(Dataset):
    """Training examples by their number, counted through the whole run and over all processes.

    Every clip comes once an epoch, in an order of its own for each.

    Args:
        clips: what examples are drawn from.
        sizes: the model's.
        config: of the run.
        num_processes: that train together; a forward pass takes `run.batch_size` examples in each.
    """

    def __init__(self, clips: Clips, sizes: Sizes, config: TrainingConfig, num_processes: int = 1):
        self.clips, self.sizes, self.config = clips, sizes, config
        self.examples_a_pass = config.run.batch_size * num_processes
        self._kept: dict[int, Clip] = {}
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        seed, lengths = self.config.seed, self.config.run.num_frames
        num_frames = np.random.default_rng([seed, LENGTH, number // self.examples_a_pass]).choice(lengths)
        epoch, place = divmod(number, len(self.clips))
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([seed, ORDER, epoch]).permutation(len(self.clips))
        return make_example(
            self._clip(int(self._order[1][place])),
            int(num_frames),
            self.sizes,
            self.config.examples,
            np.random.default_rng([seed, EXAMPLE, number]),
        )

    def _clip(self, index: int) -> Clip:
        if index in self._kept:
            return self._kept[index]
        clip = self.clips[index]
        if len(self._kept) < self.config.run.clips_in_memory:
            self._kept[index] = clip
        return clip


class _Numbers(Sampler):
    """The numbers of the examples in each batch of one process, from one forward pass of the run to another."""

    def __init__(self, first_pass: int, last_pass: int, batch_size: int, process: int, num_processes: int):
        self.passes = range(first_pass, last_pass)
        self.batch_size, self.process, self.num_processes = batch_size, process, num_processes

    def __iter__(self) -> Iterator[list[int]]:
        for forward_pass in self.passes:
            start = (forward_pass * self.num_processes + self.process) * self.batch_size
            yield list(range(start, start + self.batch_size))

    def __len__(self) -> int:
        return len(self.passes)


def load_batches(
    clips: Clips,
    sizes: Sizes,
    config: TrainingConfig,
    first_step: int,
    process: int = 0,
    num_processes: int = 1,
) -> DataLoader:
    """The batches of one process from optimizer step `first_step` to the end of the run.

    Which examples a step sees, all processes together, depends on the seed, the step and the sum of the batches
    alone.
    """
    run = config.run
    passes = run.gradient_accumulation_steps
    order = _Numbers(first_step * passes, run.max_steps * passes, run.batch_size, process, num_processes)
    return DataLoader(
        Examples(clips, sizes, config, num_processes),
        batch_sampler=order,
        num_workers=run.workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if run.workers else None,
    )
