"""Time, work and memory of a run on this machine."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from .. import face
from ..drawn_faces import Identity, draw, random_motion
from ..pipeline import HunyuanPortraitPipeline
from ..progress import Progress, no_progress
from .counting import Operations, count_operations

SEED = 0
MIN_DRAWN = 256  # pixels a side of what is drawn: in smaller pictures MTCNN finds fewer faces
MATRIX_S = 0.5  # for which matrices are multiplied to know the device's rate
MATRIX_SIDES = {"cuda": 8192, "mps": 4096, "cpu": 1024}


@dataclass(frozen=True)
class Measured:
    """One run.

    Args:
        setting: its name.
        window_step_s: seconds for one window at one step, all its branches of guidance; the median.
        unet_calls: UNet calls for one.
        window_step_tflop: multiplications and additions counted by torch, without attention's products.
        attention_tflop: those.
        decode_s: seconds a frame.
        whole_s: seconds from ready conditions to the last frame.
        device_bytes: the most memory that tensors took on the GPU; 0 on the CPU.
        host_bytes: the most memory that the process has taken so far.
    """

    setting: str
    window_step_s: float
    unet_calls: int
    window_step_tflop: float
    attention_tflop: float
    decode_s: float
    whole_s: float
    device_bytes: int
    host_bytes: int

    def matrix_share(self, matrix_tflops: float) -> float:
        """How much of the device's measured matrix rate the UNet reaches."""
        return (self.window_step_tflop + self.attention_tflop) / self.window_step_s / matrix_tflops

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Stopwatch:
    """Times blocks of work without waiting for the device between them."""

    def __init__(self, device: torch.device):
        self.device = device
        self._marks: list[tuple[Any, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        start = self._mark()
        yield
        self._marks.append((start, self._mark()))

    def seconds(self) -> list[float]:
        """Of each block so far; waits for the device."""
        synchronize(self.device)
        if self.device.type == "cuda":
            return [start.elapsed_time(end) / 1000 for start, end in self._marks]
        return [end - start for start, end in self._marks]

    def _mark(self) -> Any:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            return event
        synchronize(self.device)
        return time.perf_counter()


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def measure_matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP a second of a large product of matrices, the fastest of many."""
    side = MATRIX_SIDES[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best, end = math.inf, time.perf_counter() + MATRIX_S
    a @ b
    while time.perf_counter() < end:
        watch = Stopwatch(device)
        with watch.running():
            a @ b
        best = min(best, *watch.seconds())
    return 2 * side**3 / best / 1e12


def draw_clip(num_frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A portrait (size, size, 3) and a driving clip of somebody else (F, size, size, 3), drawn."""
    rng = np.random.default_rng(SEED)
    identity, driver = Identity.random(rng), Identity.random(rng)
    frames = [draw(driver, motion, size) for motion in random_motion(rng, num_frames)]
    return draw(identity, random_motion(rng, 1)[0], size), np.stack(frames)


def measure_preprocessing(
    pipe: HunyuanPortraitPipeline, size: int, num_frames: int, report: Progress = no_progress
) -> tuple[Any, dict[str, float]]:
    """Conditions of a drawn clip, and seconds a frame: of finding and cutting faces, and with encoding them."""
    portrait, clip = draw_clip(num_frames, max(size, MIN_DRAWN))
    detector = face.load_detector("mtcnn", device=pipe._execution_device)
    started = time.perf_counter()
    crop_size = pipe.motion_extractor.config.image_size
    for index, _ in enumerate(face.follow_driving(list(clip), detector, crop_size)):
        report("detect", index + 1, len(clip))
    detected = time.perf_counter()
    conditions = pipe.prepare_conditions(
        portrait, clip, height=size, width=size, detector=detector, on_progress=report
    )
    synchronize(pipe._execution_device)
    prepared = time.perf_counter()
    return conditions, {
        "detect_s": (detected - started) / len(clip),
        "prepare_s": (prepared - detected) / len(clip),
    }


def measure_run(
    pipe: HunyuanPortraitPipeline,
    conditions: Any,
    setting: str,
    *,
    compiled: bool = False,
    report: Progress = no_progress,
    **settings: Any,
) -> Measured:
    """Runs once to count and to warm up, in one step, and once as a user would.

    Args:
        compiled: compiles the UNet's blocks after its operations are counted.
        **settings: of the pipeline's call.
    """
    device = pipe._execution_device
    counted, calls = _count_window(pipe, conditions, settings)
    if compiled:
        pipe.unet.compile_repeated_blocks(fullgraph=True)
    sample(pipe, conditions, **settings | {"num_inference_steps": 1})
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    windows = Stopwatch(device)
    with _wrapped(pipe, "_predict_window", windows.running):
        synchronize(device)
        started = time.perf_counter()
        latents = sample(pipe, conditions, report, **settings)
        synchronize(device)
        decoding = time.perf_counter()
        num_frames = sum(len(chunk) for chunk in decode(pipe, latents, conditions, report))
        synchronize(device)
        ended = time.perf_counter()
    return Measured(
        setting=setting,
        window_step_s=statistics.median(windows.seconds()),
        unet_calls=calls,
        window_step_tflop=counted.products / 1e12,
        attention_tflop=counted.attention / 1e12,
        decode_s=(ended - decoding) / num_frames,
        whole_s=ended - started,
        device_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
        host_bytes=_peak_of_process(),
    )


def sample(
    pipe: HunyuanPortraitPipeline,
    conditions: Any,
    report: Progress = no_progress,
    seed: int = SEED,
    **settings: Any,
) -> torch.Tensor:
    """The latents of a run with the noise of a seed; `settings` are of the pipeline's call."""
    generator = torch.Generator().manual_seed(seed)
    result: Any = pipe(
        conditions=conditions, generator=generator, output_type="latent", on_progress=report, **settings
    )
    return result.frames


def decode(
    pipe: HunyuanPortraitPipeline, latents: torch.Tensor, conditions: Any, report: Progress = no_progress
) -> Iterator[torch.Tensor]:
    """Chunks (frames, 3, H, W) on the CPU, as bytes, as a file would get them."""
    for chunk in pipe.decode_frames(latents, pad_frames=conditions.pad_frames, on_progress=report):
        yield (chunk * 255).round().to(torch.uint8).cpu()


def _count_window(
    pipe: HunyuanPortraitPipeline, conditions: Any, settings: dict[str, Any]
) -> tuple[Operations, int]:
    """Operations of the first window of a run, and the UNet calls in it."""
    counted: list[Operations] = []
    calls: list[Any] = []

    @contextmanager
    def counting() -> Iterator[None]:
        with count_operations() as operations:
            yield
        counted.append(operations)
        pipe.interrupt = True  # one window is enough

    handle = pipe.unet.register_forward_pre_hook(lambda network, _: calls.append(network))
    with _wrapped(pipe, "_predict_window", counting):
        sample(pipe, conditions, **settings)
    handle.remove()
    return counted[0], len(calls)


@contextmanager
def _wrapped(owner: Any, method: str, around: Callable[[], Any]) -> Iterator[None]:
    """Runs every call of a method within a context."""
    original = getattr(owner, method)

    def within(*args: Any, **kwargs: Any) -> Any:
        with around():
            return original(*args, **kwargs)

    setattr(owner, method, within)
    try:
        yield
    finally:
        delattr(owner, method)


def _peak_of_process() -> int:
    """Bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
