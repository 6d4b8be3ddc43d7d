"""The `tiny` model: all networks at small sizes, untrained, to see whether an installation runs."""

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler
from diffusers.utils import logging

from .models import HunyuanPortraitUNet, IMAdapter, MotionExtractor, PoseGuider
from .pipeline import HunyuanPortraitPipeline

logger = logging.get_logger(__name__)


def make_tiny(dtype: torch.dtype) -> HunyuanPortraitPipeline:
    """The pipeline, with the same weights each time, of the type `dtype` but for the motion extractor's."""
    logger.warning(
        "This is the tiny model: untrained, so the square it makes is noise. It only shows that all runs."
    )
    tokens, width = 16, 64
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = HunyuanPortraitPipeline(
            im_adapter=IMAdapter(
                hidden_size=width,
                num_hidden_layers=4,
                num_attention_heads=4,
                adapter_layers=(1, 3),
                adapter_dim=32,
                adapter_attention_dim=32,
                num_image_tokens=tokens,
            ),
            motion_extractor=MotionExtractor(
                expression_depths=(1, 1, 1, 1),
                expression_width=8,
                head_pose_depths=(1, 1, 1, 1),
                head_pose_width=8,
                head_pose_groups=8,
                num_memories=tokens,
                width=32,
                num_blocks=2,
                num_heads=4,
                intensity_embed_dim=32,
                refined_dim=width - 6,
            ),
            pose_guider=PoseGuider(32, block_out_channels=(8, 16, 16, 32)),
            unet=HunyuanPortraitUNet(
                sample_size=16,
                down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
                up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
                block_out_channels=(32, width),
                addition_time_embed_dim=32,
                projection_class_embeddings_input_dim=96,
                layers_per_block=1,
                cross_attention_dim=width,
                num_attention_heads=(2, 4),
            ),
            vae=AutoencoderKLTemporalDecoder(
                down_block_types=("DownEncoderBlock2D",) * 4, block_out_channels=(32,) * 4, sample_size=128
            ),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type="v_prediction",
                sigma_max=700.0,
                sigma_min=0.002,
                timestep_spacing="leading",
                timestep_type="continuous",
                use_karras_sigmas=True,
            ),
            resolution=128,
        )
    for network in (pipe.im_adapter, pipe.pose_guider, pipe.unet, pipe.vae):
        torch.nn.Module.to(network, dtype=dtype)  # diffusers' own `to` warns of no parts in float32, too
    return pipe
