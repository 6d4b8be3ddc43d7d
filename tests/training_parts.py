"""A pipeline as small as its networks go, clips of moving noise, and configurations for short runs."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch.utils.data import default_collate

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.dataset import Clip, ClipWriter
from diffusers_hunyuan_portrait.sampling import make_euler
from diffusers_hunyuan_portrait.training import ExampleOptions, Sizes
from diffusers_hunyuan_portrait.training.config import TrainingConfig, make_config
from diffusers_hunyuan_portrait.training.examples import make_example

SIDE = 32  # of the clips' pictures
POINTS = np.array([[11.0, 12], [21, 12], [16, 17], [12, 22], [20, 22]])
FACE_BOX = np.array([8.0, 6, 24, 27])


def make_pipeline() -> hp.HunyuanPortraitPipeline:
    """The same at every call; pictures of 32×32, latents of 8×8."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return hp.HunyuanPortraitPipeline(
            im_adapter=hp.IMAdapter(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=28,
                adapter_layers=(1,),
                adapter_dim=16,
                adapter_attention_dim=16,
                adapter_num_heads=2,
                num_image_tokens=4,
            ),
            motion_extractor=hp.MotionExtractor(
                image_size=32,
                expression_depths=(1, 1),
                expression_width=8,
                expression_dim=8,
                head_pose_depths=(1, 1),
                head_pose_width=8,
                head_pose_groups=4,
                num_memories=4,
                width=8,
                num_blocks=1,
                num_heads=2,
                intensity_embed_dim=8,
                refined_dim=10,
            ),
            pose_guider=hp.PoseGuider(32, block_out_channels=(4, 4, 8)),
            unet=hp.HunyuanPortraitUNet(
                sample_size=8,
                down_block_types=("CrossAttnDownBlockSpatioTemporal",),
                up_block_types=("CrossAttnUpBlockSpatioTemporal",),
                block_out_channels=(32,),
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=24,
                layers_per_block=1,
                cross_attention_dim=16,
                num_attention_heads=(2,),
            ),
            vae=AutoencoderKLTemporalDecoder(
                down_block_types=("DownEncoderBlock2D",) * 3, block_out_channels=(32,) * 3, sample_size=SIDE
            ),
            scheduler=make_euler(sigma_min=0.002, sigma_max=700.0),
            resolution=SIDE,
        )


def make_clip(seed: int = 0, length: int = 30, **changes) -> Clip:
    """A clip of blurred noise whose points and box move with it; `changes` are fields to have otherwise."""
    rng = np.random.default_rng(seed)
    places = rng.integers(-3, 4, (length, 2))  # (frames, xy)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = coarse.repeat(SIDE // 8, 0).repeat(SIDE // 8, 1)
    fields = {
        "frames": np.stack([np.roll(picture, (y, x), (0, 1)) for x, y in places]),
        "landmarks": POINTS + places[:, None] + rng.normal(0, 0.2, (length, 5, 2)),
        "face_boxes": FACE_BOX + np.tile(places, 2),
        "frame_rate": 25.0,
    }
    return Clip(**(fields | changes))


def make_batch(pipe: hp.HunyuanPortraitPipeline, size: int = 2, num_frames: int = 3, **changes) -> dict:
    """Examples of so many clips; `changes` are tensors to have otherwise."""
    sizes = Sizes.of(pipe)
    examples = [
        make_example(make_clip(i), num_frames, sizes, ExampleOptions(), np.random.default_rng(i))
        for i in range(size)
    ]
    return default_collate(examples) | changes


def write_clips(folder: Path, count: int = 4, first_seed: int = 0) -> Path:
    """Shards of `count` clips."""
    with ClipWriter(folder, clips_per_shard=count) as writer:
        for seed in range(first_seed, first_seed + count):
            writer.write(make_clip(seed))
    return folder


def short_run(model: Path, data: Path, output: Path, **sections) -> TrainingConfig:
    """A configuration of few small steps; `sections` change its settings, those of a section as a dict."""
    values = {
        "model": str(model),
        "data": str(data),
        "output": str(output),
        "run": {"max_steps": 4, "batch_size": 2, "num_frames": [3], "tensorboard": False},
        "optimizer": {"learning_rate": 1e-3, "schedule": "constant"},
    }
    for name, settings in sections.items():
        values[name] = {**values.get(name, {}), **settings} if isinstance(settings, dict) else settings
    return make_config(values)


def with_run(config: TrainingConfig, **changes) -> TrainingConfig:
    """The configuration with other settings of its run."""
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **changes))
