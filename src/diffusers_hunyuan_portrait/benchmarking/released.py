"""The pipeline at the released sizes with made-up weights, which take the time and the memory of real ones."""

import torch
from diffusers import AutoencoderKLTemporalDecoder

from ..models import HunyuanPortraitUNet, IMAdapter, MotionExtractor, PoseGuider
from ..pipeline import HunyuanPortraitPipeline
from ..sampling import make_euler


def make_released(dtype: torch.dtype, device: torch.device | str) -> HunyuanPortraitPipeline:
    """All components but the ID encoder, which runs outside torch.

    Args:
        dtype: of the weights; the motion extractor's stay in float32, as with real ones.
        device: "meta" gives networks without content.
    """
    with torch.device(device):
        motion_extractor = MotionExtractor()
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # so that none is made in float32 first: the UNet alone would take 6 GB
        try:
            networks = {
                "im_adapter": IMAdapter(),
                "pose_guider": PoseGuider(),
                "unet": HunyuanPortraitUNet(),
                "vae": AutoencoderKLTemporalDecoder(
                    down_block_types=("DownEncoderBlock2D",) * 4,
                    block_out_channels=(128, 256, 512, 512),
                    layers_per_block=2,
                ),
            }
        finally:
            torch.set_default_dtype(default)
    scheduler = make_euler(sigma_min=0.002, sigma_max=700.0)
    return HunyuanPortraitPipeline(scheduler=scheduler, motion_extractor=motion_extractor, **networks)


def fill(network: torch.nn.Module) -> None:
    """Gives a network on the meta device weights of the surrounding mode, such as those without content.

    Frozen weights become buffers, for torch's memory tracker takes all parameters to have gradients.
    """
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            filled = torch.empty(weight.shape, dtype=weight.dtype)
            if weight.requires_grad:
                setattr(module, name, torch.nn.Parameter(filled))
            else:
                delattr(module, name)
                module.register_buffer(name, filled)
        for name, value in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(value.shape, dtype=value.dtype))
