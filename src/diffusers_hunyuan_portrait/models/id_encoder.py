"""From an aligned face to a vector that tells persons apart, as a component of the pipeline."""

from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput

from .motion_extractor import GroupNormResNet


@dataclass
class IDEncoderOutput(BaseOutput):
    """`embedding` (B, id_dim), not normalised."""

    embedding: torch.Tensor


class IDEncoder(ModelMixin, ConfigMixin):
    """A ResNet with group normalisation in the place of ArcFace, for models that bring an ID encoder of their own.

    The released model's is an ONNX file, run as preprocessing (see `face.IdEncoder`).

    Args:
        depths, width: blocks a stage, and the first stage's channels.
        groups: of the normalisation.
        id_dim: length of the vector.
    """

    @register_to_config
    def __init__(
        self, depths: tuple[int, ...] = (2, 2, 2, 2), width: int = 64, groups: int = 32, id_dim: int = 512
    ):
        super().__init__()
        self.network = GroupNormResNet(depths, width, groups, False, id_dim)

    def forward(
        self, arcface_image: torch.Tensor, return_dict: bool = True
    ) -> IDEncoderOutput | tuple[torch.Tensor]:
        """The vectors of aligned faces, `arcface_image` (B, 3, 112, 112) in [0, 1] (contract, "ArcFace image")."""
        embedding = self.network(arcface_image.to(self.dtype))
        return IDEncoderOutput(embedding) if return_dict else (embedding,)
