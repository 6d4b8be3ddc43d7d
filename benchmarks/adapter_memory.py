"""How much memory and how many operations a training step takes at the released sizes, worked out and not run.

The step is taken on tensors without content, under torch's memory tracker. What the tracker cannot know comes on
top: CUDA's own memory, kernels' workspaces, and what the allocator loses between blocks.

python benchmarks/adapter_memory.py [--stage adapter] [--frames 14] [--dtype bf16] [--help]
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from accelerate.utils import convert_to_fp32
from diffusers.utils import logging
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from diffusers_hunyuan_portrait.benchmarking import MemoryTracker, count_operations, fill, make_released
from diffusers_hunyuan_portrait.convert.checkpoint import DTYPES
from diffusers_hunyuan_portrait.training import AdapterTraining, ConsistencyTraining, PortraitTraining, Sizes

STAGES = {"portrait": PortraitTraining, "adapter": AdapterTraining, "consistency": ConsistencyTraining}
GB = 1e9


@contextlib.contextmanager
def norms_in_float32() -> Iterator[None]:
    """Norms as autocast does them on CUDA; tensors without content are the CPU's here, whose autocast differs.

    The functions themselves are exchanged: what checkpointing does anew, within the backward pass, sees no mode.
    """

    def in_float32(norm: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def normalise(*args: Any, **kwargs: Any) -> torch.Tensor:
            if not torch.is_autocast_enabled("cpu"):
                return norm(*args, **kwargs)
            with torch.autocast("cpu", enabled=False):
                args, kwargs = convert_to_fp32((args, kwargs))
                return norm(*args, **kwargs)

        return normalise

    with (
        patch.object(functional, "layer_norm", in_float32(functional.layer_norm)),
        patch.object(functional, "group_norm", in_float32(functional.group_norm)),
    ):
        yield


def make_batch(sizes: Sizes, examples: int, frames: int, cached: bool) -> dict[str, torch.Tensor]:
    """What `make_example` gives, batched."""
    side, latent = sizes.picture, (sizes.latent_channels, sizes.latent, sizes.latent)
    batch = {
        "dino_image": torch.zeros(examples, 3, sizes.dino, sizes.dino),
        "arcface_image": torch.zeros(examples, 3, 112, 112),
        "head_level": torch.zeros(examples, dtype=torch.long),
        "expression_level": torch.zeros(examples, dtype=torch.long),
        "token_scale": torch.ones(examples, frames),
        "face_mask": torch.zeros(examples, frames, 1, *latent[1:]),
        "feature_mask": torch.zeros(examples, frames, 1, *latent[1:]),
        "noise": torch.zeros(examples, frames, *latent),
        "noise_level": torch.zeros(examples),
        "drop": torch.ones(examples),
    }
    if cached:
        batch["latents"] = torch.zeros(examples, frames, *latent)
        batch["portrait_latents"] = torch.zeros(examples, *latent)
    else:
        batch["frames"] = torch.zeros(examples, frames, 3, side, side, dtype=torch.uint8)
        batch["portrait"] = torch.zeros(examples, 3, side, side, dtype=torch.uint8)
    for name in ("face_crops", "pose_crops"):
        batch[name] = torch.zeros(examples, frames, 3, sizes.motion, sizes.motion)
    return batch


def work_out(options: argparse.Namespace) -> tuple[dict[str, int], int]:
    """Bytes by kind at the peak of a step, and the floating-point operations that it takes."""
    dtype = DTYPES[options.dtype]
    pipe = make_released(torch.float32 if options.stage == "portrait" else dtype, "meta")
    stage = STAGES[options.stage](pipe)
    with FakeTensorMode(), contextlib.ExitStack() as modes:
        for network in (stage, *stage.frozen):
            fill(network)
        if not options.no_checkpointing:
            pipe.unet.enable_gradient_checkpointing()
        optimizer = torch.optim.AdamW(stage.parameters())
        for weight in stage.parameters():  # a step before this one, for AdamW to have its means
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        optimizer.zero_grad()
        batch = make_batch(Sizes.of(pipe), options.batch, options.frames, options.cached_latents)
        tracker = MemoryTracker()
        tracker.track_external(stage, *stage.frozen, optimizer, *batch.values())
        modes.enter_context(tracker)
        operations = modes.enter_context(count_operations())
        modes.enter_context(norms_in_float32())
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = stage(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(stage.parameters(), 0.99)
        optimizer.step()
    return tracker.peak, operations.products + operations.attention


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=list(STAGES), default="adapter")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16", help="of the base and of computing")
    parser.add_argument("--no-checkpointing", action="store_true")
    parser.add_argument("--cached-latents", action="store_true")
    options = parser.parse_args()
    logging.set_verbosity_error()  # of its word on types, which is meant for weights that are loaded
    peak, flops = work_out(options)
    for kind, size in sorted(peak.items(), key=lambda entry: -entry[1]):
        if size:
            print(f"{kind:12} {size / GB:7.2f} GB")
    print(f"{flops / 1e12:.1f} TFLOP a step")


if __name__ == "__main__":
    main()
