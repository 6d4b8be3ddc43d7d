"""Makes the model `drawn-faces`, in stretches: stops after `--minutes`, and goes on when run again.

    python recipes/drawn_faces/make.py --work FOLDER --minutes 30

Drawn clips first, then what the paper has pre-trained, each by itself: the VAE, and the encoders of motion,
identity and image. They are frozen, what they see in the clips is stored, and the rest is trained by the stage
*portrait*. `record.json` in the folder tells the minutes of each part, and `model` is what comes out.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from autoencoder import AutoencoderLoss, finish_autoencoder
from components import make_pipeline
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from encoders import IdentityLoss, ImageLoss, MotionLoss
from portrait import CLIPS, HELD_OUT, train_portrait
from safetensors.torch import load_file, save_file
from scenes import CLIPS_PER_SHARD, write_clips
from stretches import Work, learn

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.dataset import Clip, ClipShards, ClipWriter, add_expression, add_latents
from diffusers_hunyuan_portrait.evaluation import training_generator
from diffusers_hunyuan_portrait.training import ExampleOptions
from diffusers_hunyuan_portrait.training.examples import jitter_colors, resized

ANCHORS = 8  # key of the training generator
NUM_ANCHORS = 3  # frames of each clip that can be the portrait
LARGEST_FILE = "10MB"


@dataclass(frozen=True)
class Lengths:
    """How much is drawn, and how long each part is trained, in steps."""

    clips: int = 2000
    held_out: int = 64
    autoencoder: int = 1800
    motion: int = 6000
    identity: int = 600
    image: int = 600
    portrait: int = 5000
    portrait_long: int = 900


def draw_clips(work: Work, lengths: Lengths) -> bool:
    with work.timed("drawing"):
        write_clips(work.folder / "held_out", range(lengths.clips, lengths.clips + lengths.held_out))
        write_clips(work.folder / "drawn", range(lengths.clips))
    return True


def pretrain(work: Work, lengths: Lengths) -> bool:
    if (work.folder / "start").exists():
        return True
    pipe = make_pipeline(0)
    torch.manual_seed(0)
    clips = _read_all(work.folder / "drawn")

    def run(
        name: str, networks: torch.nn.Module, loss: Callable[[int], torch.Tensor], learning_rate: float
    ) -> bool:
        return learn(work, name, networks, loss, steps=getattr(lengths, name), learning_rate=learning_rate)

    motion, identity = MotionLoss(pipe.motion_extractor, clips), IdentityLoss(pipe.id_encoder, clips)
    image = ImageLoss(pipe.im_adapter, clips)
    finished = (
        run("autoencoder", pipe.vae, AutoencoderLoss(pipe.vae, clips), 1.5e-3)
        and run("motion", motion, motion, 2e-3)
        and run("identity", identity, identity, 2e-3)
        and run("image", image, image, 1e-3)
    )
    if finished:
        psnr = finish_autoencoder(pipe.vae, _read_all(work.folder / "held_out"))
        work.note("autoencoder", psnr_of_held_out=round(psnr, 2))
        pipe.save_pretrained(work.folder / "start")
    return finished


def store_conditions(work: Work, lengths: Lengths) -> bool:
    """What the frozen networks see in the clips, shard by shard."""
    pipe = HunyuanPortraitPipeline.from_pretrained(work.folder / "start")
    for source, stored in (("held_out", HELD_OUT), ("drawn", CLIPS)):
        clips = ClipShards(work.folder / source)
        with work.timed("storing"), ClipWriter(work.folder / stored, CLIPS_PER_SHARD) as writer:
            for index in range(writer.shard * CLIPS_PER_SHARD, len(clips)):
                if not work.minutes_left and index % CLIPS_PER_SHARD == 0:
                    return False
                writer.write(_with_conditions(pipe, clips[index], index))
    return True


def _with_conditions(pipe: HunyuanPortraitPipeline, clip: Clip, index: int) -> Clip:
    rng = training_generator(ANCHORS, index)
    anchors = rng.choice(len(clip), NUM_ANCHORS, replace=False)
    small = np.stack([resized(frame, pipe.config.resolution) for frame in clip.frames])
    return add_expression(
        replace(clip, latents=add_latents(replace(clip, frames=small), pipe.vae).latents),
        pipe.motion_extractor,
        anchors,
        lambda crops: jitter_colors(crops, ExampleOptions(), rng),
    )


def train(work: Work, lengths: Lengths) -> bool:
    return train_portrait(work, "portrait", work.folder / "start", lengths.portrait, lengths.portrait_long)


def export(work: Work, lengths: Lengths) -> bool:
    trained = work.folder / "portrait" / "long" / "model"
    pipe = HunyuanPortraitPipeline.from_pretrained(trained, dtype=torch.float16)
    pipe.save_pretrained(work.folder / "model", max_shard_size=LARGEST_FILE)
    # It runs in float32 whatever it is loaded in, but is kept as small as the others.
    file = work.folder / "model" / "motion_extractor" / SAFETENSORS_WEIGHTS_NAME
    save_file({name: weight.half() for name, weight in load_file(file).items()}, file, {"format": "pt"})
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
