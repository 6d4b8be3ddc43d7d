"""Published checkpoints to a folder that `HunyuanPortraitPipeline.from_pretrained` loads."""

from .checkpoint import convert_checkpoint
from .networks import read_config

__all__ = ["convert_checkpoint", "read_config"]
