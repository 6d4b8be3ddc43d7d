"""Frames that follow each other, told by the first and the last of them."""

from collections.abc import Iterable


def runs_of(frames: Iterable[int]) -> list[tuple[int, int]]:
    """Rising frame numbers as (first, last) of each run: [3, 4, 5, 9] as [(3, 5), (9, 9)]."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs
