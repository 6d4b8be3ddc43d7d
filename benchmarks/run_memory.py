"""How much GPU memory a run takes at the released sizes, worked out and not run.

Each part of a run is taken on tensors without content, under torch's memory tracker. What the tracker cannot know
comes on top: CUDA's own memory, kernels' workspaces, and what the allocator loses between blocks.

python benchmarks/run_memory.py [--size 512] [--window 25] [--chunk 8] [--dtype fp16]
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from diffusers.utils import logging
from torch._subclasses.fake_tensor import FakeTensorMode

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.benchmarking import MemoryTracker, fill, make_released
from diffusers_hunyuan_portrait.convert.checkpoint import DTYPES
from diffusers_hunyuan_portrait.models.precision import Float32Weights

NETWORKS = ("im_adapter", "motion_extractor", "pose_guider", "unet", "vae")
MOTION_CHUNK = 25  # frames
GB = 1e9


def size_of(network: torch.nn.Module) -> int:
    """Bytes of its weights."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_of(work: Callable[[], Any], network: torch.nn.Module) -> int:
    """The most bytes that it takes at a time beside the network's weights."""
    tracker = MemoryTracker()
    tracker.track_external(network)
    with torch.no_grad(), tracker:
        work()
    return tracker.peak["Total"] - size_of(network)


def parts_of_a_run(pipe: HunyuanPortraitPipeline, options: argparse.Namespace) -> dict[str, tuple[str, Callable]]:
    """Each part's network and work; `pipe` has tensors without content."""
    dtype, side, latent = DTYPES[options.dtype], options.size, options.size // 8
    tokens = torch.empty(1, 64, 1024, dtype=dtype)
    motion = torch.empty(1, options.window, 64, 1024, dtype=dtype)
    latents = torch.empty(1, options.window, 4, latent, latent, dtype=dtype)
    crops = torch.empty(MOTION_CHUNK, 3, 256, 256)

    def encode_portrait() -> None:
        with Float32Weights():
            pipe.vae.encode(torch.empty(1, 3, side, side)).latent_dist.mode()

    def predict() -> None:
        """The full branch: the others take no more."""
        guided = torch.zeros(latents.shape)  # what the branches before have given
        prediction = pipe.unet(
            torch.cat([latents, latents], dim=2),
            torch.empty((), dtype=dtype),
            tokens,
            torch.empty(1, 3, dtype=dtype),
            motion_hidden_states=motion,
            pose_features=torch.empty(1, 1, 320, latent, latent, dtype=dtype),
            return_dict=False,
        )[0]
        guided += 2 * prediction.float()

    chunk = torch.empty(options.chunk, 4, latent, latent, dtype=dtype)
    return {
        "motion tokens of 25 frames": ("motion_extractor", lambda: pipe.motion_extractor(crops, crops, 0, 0)),
        "image tokens": (
            "im_adapter",
            lambda: pipe.im_adapter(torch.empty(1, 3, 224, 224, dtype=dtype), torch.empty(1, 512, dtype=dtype)),
        ),
        "encoding the portrait": ("vae", encode_portrait),
        "a window and step": ("unet", predict),
        "decoding a chunk": ("vae", lambda: pipe.vae.decode(chunk, num_frames=len(chunk))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--window", type=int, default=25, help="frames of a window")
    parser.add_argument("--chunk", type=int, default=8, help="frames decoded together")
    parser.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16")
    options = parser.parse_args()
    logging.set_verbosity_error()  # of its word on types, which is meant for weights that are loaded
    pipe = make_released(DTYPES[options.dtype], "meta")
    weights = {name: size_of(getattr(pipe, name)) for name in NETWORKS}
    print(f"all weights: {sum(weights.values()) / GB:.2f} GB")
    worst, worst_offloaded = 0, 0
    with FakeTensorMode():
        for name in NETWORKS:
            fill(getattr(pipe, name).requires_grad_(False))
        for part, (network, work) in parts_of_a_run(pipe, options).items():
            beside = peak_of(work, getattr(pipe, network))
            print(f"{part}: {beside / GB:.2f} GB beside the weights of {network}, {weights[network] / GB:.2f} GB")
            worst = max(worst, beside + sum(weights.values()))
            worst_offloaded = max(worst_offloaded, beside + weights[network])
    print(f"the whole: {worst / GB:.2f} GB, with --offload model {worst_offloaded / GB:.2f} GB")


if __name__ == "__main__":
    main()
