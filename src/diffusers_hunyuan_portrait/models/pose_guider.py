"""Pose pictures to features for the UNet."""

import itertools
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import nn
from torch.nn.functional import silu


@dataclass
class PoseGuiderOutput(BaseOutput):
    """`sample`: features, (B, C, F, H / 8, W / 8) at the published sizes."""

    sample: torch.Tensor


class PoseGuider(ModelMixin, ConfigMixin):
    """Turns a pose picture into features that are added after the UNet's `conv_in` (contract, "UNet").

    Args:
        conditioning_embedding_channels: channels of the features, the UNet's first width.
        conditioning_channels: channels of the pose picture.
        block_out_channels: widths; each step to the next halves height and width.
    """

    @register_to_config
    def __init__(
        self,
        conditioning_embedding_channels: int = 320,
        conditioning_channels: int = 3,
        block_out_channels: tuple[int, ...] = (16, 32, 96, 256),
    ):
        super().__init__()
        self.conv_in = nn.Conv2d(conditioning_channels, block_out_channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for width, next_width in itertools.pairwise(block_out_channels):
            self.blocks.append(nn.Conv2d(width, width, 3, padding=1))
            self.blocks.append(nn.Conv2d(width, next_width, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(block_out_channels[-1], conditioning_embedding_channels, 3, padding=1)

    def forward(
        self, pose_images: torch.Tensor, return_dict: bool = True
    ) -> PoseGuiderOutput | tuple[torch.Tensor]:
        """`pose_images` (B, 3, F, H, W) in [0, 1] to (B, C, F, H / 8, W / 8), each frame by itself."""
        batch_size = pose_images.shape[0]
        hidden_states = pose_images.to(self.dtype).transpose(1, 2).flatten(0, 1)  # (batch · frames, 3, H, W)
        for convolution in [self.conv_in, *self.blocks]:
            hidden_states = silu(convolution(hidden_states))
        features = self.conv_out(hidden_states).unflatten(0, (batch_size, -1)).transpose(1, 2)
        return PoseGuiderOutput(sample=features) if return_dict else (features,)
