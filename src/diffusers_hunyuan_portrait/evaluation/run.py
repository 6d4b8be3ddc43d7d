"""Runs a model over the fixed pairs, as `animate` would, and measures what comes out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..conditions import PortraitConditions
from ..pipeline import PAD_FRAMES, HunyuanPortraitPipeline
from ..progress import Progress, no_progress
from .figures import CONTROL, DRIVER, REPEATED, RESULT, TRUTH, Figures, VideoFigures, measure, summarise
from .pairs import NUM_FRAMES, Pair, with_other_motion
from .reader import MotionReader

INPUT_SIZE = 128  # pixels a side of portrait and driving clip, at least: what people have is no smaller
# For quick comparisons: a clip without padding in one window takes a third of the work, but is not what users get.
WITHOUT_PADDING = {"pad_frames": 0, "window_size": NUM_FRAMES, "window_overlap": 0, "window_shift": 0}


def prepare_pair(pipe: HunyuanPortraitPipeline, pair: Pair, pad_frames: int = PAD_FRAMES) -> PortraitConditions:
    """What a pair's portrait and driving clip tell the networks, with the faces where they are drawn."""
    size = max(INPUT_SIZE, pipe.config.resolution)
    return pipe.prepare_conditions(
        pair.draw_portrait(size),
        pair.draw_driving(size),
        detector=pair.detector(),
        pad_frames=pad_frames,
        on_progress=no_progress,
    )


def animate_pair(
    pipe: HunyuanPortraitPipeline, pair: Pair, *, pad_frames: int = PAD_FRAMES, seed: int = 0, **settings: Any
) -> NDArray[np.uint8]:
    """A pair's portrait with its driving motion, (F, size, size, 3) RGB at the pipeline's resolution.

    Args:
        pad_frames: as `prepare_conditions` takes it.
        seed: of the noise.
        **settings: further arguments of the pipeline's call.
    """
    conditions = prepare_pair(pipe, pair, pad_frames)
    generator = torch.Generator().manual_seed(seed)
    result: Any = pipe(
        conditions=conditions, generator=generator, output_type="np", on_progress=no_progress, **settings
    )
    return (result.frames[0] * 255).round().astype(np.uint8)


def evaluate(
    pipe: HunyuanPortraitPipeline,
    pairs: Sequence[Pair],
    reader: MotionReader,
    *,
    control: bool = True,
    seed: int = 0,
    on_progress: Progress | None = None,
    **settings: Any,
) -> Figures:
    """The figures of a model over `pairs`, beside the stand-ins'.

    Args:
        control: also run every pair with another pair's motion, which takes as long again.
        seed: of the noise; pair i of a run has `seed + i`, and the control the same.
        on_progress: told the pairs done, as "evaluate".
        **settings: what `animate_pair` takes, such as `num_inference_steps`, the guidance scales, or
            `WITHOUT_PADDING`.

    Raises:
        UserError: a setting is out of range, or there are fewer than two pairs for the control.
    """
    report, measured = on_progress or no_progress, []
    others = with_other_motion(pairs) if control else [None] * len(pairs)
    for index, (pair, other) in enumerate(zip(pairs, others, strict=True)):
        videos = measure_stand_ins(pair, reader, pipe.config.resolution)
        for kind, driven in ((RESULT, pair), (CONTROL, other)):
            if driven is not None:
                frames = animate_pair(pipe, driven, seed=seed + index, **settings)
                videos[kind] = measure(frames, pair, reader)
        measured.append(videos)
        report("evaluate", index + 1, len(pairs))
    return summarise(measured)


def evaluate_stand_ins(pairs: Sequence[Pair], reader: MotionReader, size: int) -> Figures:
    """The figures of the truth, the portrait repeated and the driver as it is, drawn at `size`."""
    return summarise([measure_stand_ins(pair, reader, size) for pair in pairs])


def measure_stand_ins(pair: Pair, reader: MotionReader, size: int) -> dict[str, VideoFigures]:
    """What takes no model: the truth, the portrait repeated, and the driver as it is."""
    portrait, driving = pair.draw_portrait(size), pair.draw_driving(size)
    videos = {
        TRUTH: pair.draw_truth(size),
        REPEATED: np.broadcast_to(portrait, driving.shape),
        DRIVER: driving,
    }
    return {kind: measure(frames, pair, reader) for kind, frames in videos.items()}
