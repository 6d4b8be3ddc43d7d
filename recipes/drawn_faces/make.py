"""Makes the model `drawn-faces`, in stretches: stops after `--minutes`, and goes on when run again.

    python recipes/drawn_faces/make.py --work FOLDER --minutes 30

Drawn clips first, then what the paper has pre-trained, each by itself: the VAE, and the encoders of motion,
identity and image. They are frozen, what they see in the clips is stored, and the rest is trained by the stage
*portrait*. `record` in the folder tells the minutes of each part, and `model` is what comes out.
"""

import argparse
import functools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoencoder import AutoencoderLoss, finish_autoencoder
from components import make_pipeline
from encoders import IdentityLoss, ImageLoss, MotionLoss
from portrait import CLIPS, HELD_OUT, train_portrait
from scenes import CLIPS_PER_SHARD, write_clips
from stretches import Work, learn, load_networks

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.dataset import Clip, ClipShards, ClipWriter, add_expression, add_latents
from diffusers_hunyuan_portrait.evaluation import training_generator
from diffusers_hunyuan_portrait.training import ExampleOptions
from diffusers_hunyuan_portrait.training.examples import jitter_colors, resized

ANCHORS = 8  # key of the training generator
NUM_ANCHORS = 3  # frames of each clip that can be the portrait
LARGEST_FILE = "11MB"  # of weights; the header comes on top


@dataclass(frozen=True)
class Lengths:
    """How much is drawn, and how long each part is trained, in steps."""

    clips: int = 2000
    held_out: int = 64
    autoencoder: int = 3500
    motion: int = 5200
    identity: int = 600
    image: int = 600
    portrait: int = 6000
    portrait_again: int = 5200
    portrait_long: int = 700


def draw_clips(work: Work, lengths: Lengths) -> bool:
    with work.timed("drawing"):
        write_clips(work.folder / "held_out", range(lengths.clips, lengths.clips + lengths.held_out))
        write_clips(work.folder / "drawn", range(lengths.clips))
    return True


# What is pre-trained by itself, and can be side by side.
PRETRAINED = (("autoencoder",), ("motion", "identity", "image"))


def pretrain(work: Work, lengths: Lengths) -> bool:
    if (work.folder / "start").exists():
        return True
    with _processes(len(PRETRAINED)) as pool:
        runs = [
            pool.submit(pretrain_parts, work.folder, work.minutes_left, lengths, parts) for parts in PRETRAINED
        ]
        finished = [run.result() for run in runs]
    if not all(finished):
        return False
    pipe = make_pipeline(0)
    for name, (networks, _, _) in _prepare_pretraining(pipe, []).items():
        networks.load_state_dict(load_networks(work, name))
    psnr = finish_autoencoder(pipe.vae, _read_all(work.folder / "held_out"))
    work.note("autoencoder", psnr_of_held_out=round(psnr, 2))
    pipe.save_pretrained(work.folder / "start")
    return True


def pretrain_parts(folder: Path, minutes: float, lengths: Lengths, parts: Sequence[str]) -> bool:
    """Trains some parts one after the other, as far as the minutes reach; gives whether all are done."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // len(PRETRAINED)))
    work, pipe = Work(folder, minutes), make_pipeline(0)
    torch.manual_seed(0)
    preparations = _prepare_pretraining(pipe, _read_all(folder / "drawn"))
    for name in parts:
        networks, loss, learning_rate = preparations[name]
        if not learn(work, name, networks, loss, steps=getattr(lengths, name), learning_rate=learning_rate):
            return False
    return True


def _prepare_pretraining(
    pipe: HunyuanPortraitPipeline, clips: Sequence[Clip]
) -> dict[str, tuple[torch.nn.Module, Callable[[int], torch.Tensor], float]]:
    """Of each part what is trained, its loss and its learning rate."""
    motion, identity = MotionLoss(pipe.motion_extractor, clips), IdentityLoss(pipe.id_encoder, clips)
    image = ImageLoss(pipe.im_adapter, clips)
    return {
        "autoencoder": (pipe.vae, AutoencoderLoss(pipe.vae, clips), 2e-3),
        "motion": (motion, motion, 1.5e-3),
        "identity": (identity, identity, 2e-3),
        "image": (image, image, 1e-3),
    }


def store_conditions(work: Work, lengths: Lengths) -> bool:
    """What the frozen networks see in the clips, shard by shard."""
    with _processes(os.cpu_count() or 1, _load_frozen, work.folder) as pool:
        for source, stored in (("held_out", HELD_OUT), ("drawn", CLIPS)):
            with work.timed("storing"), ClipWriter(work.folder / stored, CLIPS_PER_SHARD) as writer:
                count = len(ClipShards(work.folder / source))
                for start in range(writer.shard * CLIPS_PER_SHARD, count, CLIPS_PER_SHARD):
                    if not work.minutes_left:
                        return False
                    shard = range(start, min(start + CLIPS_PER_SHARD, count))
                    for clip in pool.map(_with_conditions, [work.folder / source] * len(shard), shard):
                        writer.write(clip)
    return True


def _load_frozen(folder: Path) -> None:
    """For a process that stores: the pipeline, kept for all clips."""
    global frozen
    torch.set_num_threads(1)
    frozen = HunyuanPortraitPipeline.from_pretrained(folder / "start")


def _with_conditions(source: Path, index: int) -> Clip:
    clip, rng = _open_shards(source)[index], training_generator(ANCHORS, index)
    anchors = rng.choice(len(clip), NUM_ANCHORS, replace=False)
    small = np.stack([resized(frame, frozen.config.resolution) for frame in clip.frames])
    return add_expression(
        replace(clip, latents=add_latents(replace(clip, frames=small), frozen.vae).latents),
        frozen.motion_extractor,
        anchors,
        lambda crops: jitter_colors(crops, ExampleOptions(), rng),
    )


_open_shards = functools.cache(ClipShards)


def _processes(count: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Processes made anew: one that is forked when torch has run in several threads may stand still."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), prepare, arguments)


def train(work: Work, lengths: Lengths) -> bool:
    steps = lengths.portrait, lengths.portrait_long, lengths.portrait_again
    return train_portrait(work, "portrait", work.folder / "start", *steps)


def export(work: Work, lengths: Lengths) -> bool:
    trained = work.folder / "portrait" / "long" / "model"
    pipe = HunyuanPortraitPipeline.from_pretrained(trained, dtype=torch.float16)
    pipe.motion_extractor.half()  # loaded in float32, as it runs, but kept as small as the others
    pipe.save_pretrained(work.folder / "model", max_shard_size=LARGEST_FILE)
    return True


def make(work: Work, lengths: Lengths) -> bool:
    """Goes through all parts, skipping what is there; gives whether the model is made."""
    for part in (draw_clips, pretrain, store_conditions, train, export):
        print(f"== {part.__name__}", flush=True)
        if not part(work, lengths):
            return False
    return True


def _read_all(folder: Path) -> list[Clip]:
    """Clips in memory: 2.4 GB of those to train on."""
    shards = ClipShards(folder)
    return [shards[index] for index in range(len(shards))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made (6 GB)")
    parser.add_argument("--minutes", type=float, default=30, help="length of this stretch (30)")
    options = parser.parse_args()
    if make(Work(options.work, options.minutes), Lengths()):
        print(f"The model is in {options.work / 'model'}.")
    else:
        print("The stretch is over; run the same command again to go on.")


if __name__ == "__main__":
    main()
