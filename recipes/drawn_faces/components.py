"""The networks of `drawn-faces`, untrained: every component of the pipeline at a small size."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler

from diffusers_hunyuan_portrait import (
    HunyuanPortraitPipeline,
    HunyuanPortraitUNet,
    IMAdapter,
    MotionExtractor,
    PoseGuider,
)
from diffusers_hunyuan_portrait.models import IDEncoder

RESOLUTION = 64
DOWNSCALE = 4  # pixels a side of what one latent describes
LATENT_CHANNELS = 8
TOKEN_WIDTH = 128  # of image and motion tokens
NUM_IMAGE_TOKENS = 16
NUM_MEMORIES = 4  # and motion tokens: the fewer, the more the expression counts beside them when all is new
MOTION_HARMONICS = 4  # waves that describe each motion parameter
# How large the waves of each parameter are: yaw, pitch, roll; x, y, size; and the face's own. Were they alike, the
# refiner would learn where the head is first, and have forgotten the face by then, which counts only once it is
# drawn in the right place.
WAVE_AMPLITUDES = np.repeat([0.5, 1.0, 2.0], [3, 3, 7]).astype(np.float32)
EXPRESSION_DIM = 13 * 2 * MOTION_HARMONICS
ID_DIM = 64

MOTION_EXTRACTOR = {
    "image_size": 96,
    "expression_depths": (2, 2, 2, 2),
    "expression_width": 24,
    "expression_dim": EXPRESSION_DIM,
    "head_pose_depths": (1, 1, 1, 1),
    "head_pose_width": 16,
    "head_pose_groups": 8,
    "num_memories": NUM_MEMORIES,
    "width": 128,
    "num_blocks": 3,
    "num_heads": 4,
    "intensity_embed_dim": 64,
    "refined_dim": TOKEN_WIDTH - 6,
}
IM_ADAPTER = {
    "hidden_size": TOKEN_WIDTH,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "mlp_ratio": 2,
    "patch_size": 8,
    "image_size": RESOLUTION,
    "adapter_layers": (1, 3),
    "adapter_dim": 64,
    "adapter_attention_dim": 32,
    "adapter_num_heads": 4,
    "id_dim": ID_DIM,
    "num_image_tokens": NUM_IMAGE_TOKENS,
}


def describe_motion(vectors: np.ndarray) -> np.ndarray:
    """What the expression encoder is to give: every parameter as sines and cosines of rising frequency.

    It is a function of the motion alone, so an encoder trained to give it cannot tell identities apart. Waves make
    small differences as easy to use as large ones.

    Args:
        vectors: (..., 13) motion parameters in [-1, 1].

    Returns:
        (..., EXPRESSION_DIM), float32, with the deviations `WAVE_AMPLITUDES`.
    """
    angles = math.pi / 2 * np.asarray(vectors, np.float32)[..., None] * np.arange(1, MOTION_HARMONICS + 1)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1) * math.sqrt(2) * WAVE_AMPLITUDES[:, None]
    return waves.reshape(*waves.shape[:-2], -1).astype(np.float32)


def make_pipeline(
    seed: int = 0,
    *,
    im_adapter: Mapping[str, Any] | None = None,
    motion_extractor: Mapping[str, Any] | None = None,
) -> HunyuanPortraitPipeline:
    """All components, with the same untrained weights for the same seed.

    Args:
        im_adapter, motion_extractor: settings that differ from the model's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HunyuanPortraitPipeline(
            im_adapter=IMAdapter(**(IM_ADAPTER | dict(im_adapter or {}))),
            motion_extractor=MotionExtractor(**(MOTION_EXTRACTOR | dict(motion_extractor or {}))),
            pose_guider=PoseGuider(64, block_out_channels=(8, 16, 32)),
            unet=make_unet(),
            vae=make_vae(),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type="v_prediction",
                sigma_max=80.0,
                sigma_min=20.0,  # finer noise than this it makes, rather than takes away, from frame to frame
                timestep_spacing="leading",
                timestep_type="continuous",
                use_karras_sigmas=True,
            ),
            id_encoder=IDEncoder(depths=(1, 1, 1, 1), width=16, groups=8, id_dim=ID_DIM),
            resolution=RESOLUTION,
        )


def make_variant(
    frozen: str | Path, seed: int = 0, changes: Mapping[str, Any] | None = None
) -> HunyuanPortraitPipeline:
    """A model to train: the frozen parts of another as they are, all else new.

    Args:
        frozen: folder of the other, finished or not.
        seed: of what is new.
        changes: settings that differ from the model's, as `make_pipeline` takes them; "id_encoder" may be `None`.
    """
    trained = HunyuanPortraitPipeline.from_pretrained(frozen)
    settings = dict(changes or {})
    id_encoder = settings.pop("id_encoder", trained.id_encoder)
    pipe = make_pipeline(seed, **settings)
    pipe.register_modules(vae=trained.vae, id_encoder=id_encoder)
    pipe.im_adapter.backbone = trained.im_adapter.backbone
    for name in ("expression_encoder", "head_pose_encoder"):
        setattr(pipe.motion_extractor, name, getattr(trained.motion_extractor, name))
    return pipe


def make_vae() -> AutoencoderKLTemporalDecoder:
    return AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 3,
        # diffusers normalises in 32 groups: layers of 32 channels could not tell a picture's colours.
        block_out_channels=(64, 64, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        sample_size=RESOLUTION,
        force_upcast=False,
    )


def make_unet() -> HunyuanPortraitUNet:
    return HunyuanPortraitUNet(
        sample_size=RESOLUTION // DOWNSCALE,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        # The finest level moves what it is given; where to, is told in those below.
        down_block_types=("DownBlockSpatioTemporal", *("CrossAttnDownBlockSpatioTemporal",) * 2),
        up_block_types=(*("CrossAttnUpBlockSpatioTemporal",) * 2, "UpBlockSpatioTemporal"),
        block_out_channels=(64, 64, 96),
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        layers_per_block=1,
        cross_attention_dim=TOKEN_WIDTH,
        num_attention_heads=(2, 2, 3),
    )
