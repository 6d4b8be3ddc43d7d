"""The networks: each a diffusers `ModelMixin` with a config, the published sizes by default."""

from .id_encoder import IDEncoder
from .im_adapter import IMAdapter
from .motion_extractor import MotionExtractor
from .pose_guider import PoseGuider
from .unet import HunyuanPortraitUNet

__all__ = ["HunyuanPortraitUNet", "IDEncoder", "IMAdapter", "MotionExtractor", "PoseGuider"]
