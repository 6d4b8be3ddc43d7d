"""`MotionReader`: reads motion and identity back from pictures of drawn faces, to judge what a model made."""

import itertools
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import relu

from ..drawn_faces import Identity, Motion
from ..errors import CheckpointError, UserError
from ..face.pixels import resize
from ..models.motion_extractor import ResidualBlock

READER_SIZE = 128  # pixels a side of the pictures it reads
READ_AT_ONCE = 32  # frames


class MotionReader(nn.Module):
    """A small residual network that keeps the places of what it sees, as position and gaze are to be read.

    It is trained apart from every part of the animated model, and shares no weights with any.

    Args:
        stem_width: channels of the first convolution.
        widths: channels of the residual blocks, each at half the size of the one before.
        map_channels: channels that every place of the last map is described with.
        hidden: channels of the layer before the last.
    """

    def __init__(
        self,
        stem_width: int = 16,
        widths: tuple[int, ...] = (48, 96, 128),
        map_channels: int = 32,
        hidden: int = 256,
    ):
        super().__init__()
        self.config = {
            "stem_width": stem_width,
            "widths": list(widths),
            "map_channels": map_channels,
            "hidden": hidden,
        }
        self.stem = nn.Conv2d(3, stem_width, 5, stride=2, padding=2)
        steps = itertools.pairwise((stem_width, *widths))
        self.blocks = nn.Sequential(*(ResidualBlock(width, wider, 2, 8, False) for width, wider in steps))
        self.to_map = nn.Conv2d(widths[-1], map_channels, 1)
        places = (READER_SIZE // 2 ** (len(widths) + 1)) ** 2
        self.hidden = nn.Linear(places * map_channels, hidden)
        self.head = nn.Linear(hidden, len(Motion.names()) + len(Identity.names()))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, 128, 128) in [0, 1] to motion (B, 13) and identity (B, n), as their `to_vector` scales them."""
        features = self.to_map(self.blocks(relu(self.stem(2 * pixels - 1))))
        numbers = self.head(relu(self.hidden(features.flatten(1))))
        motion_size = len(Motion.names())
        return numbers[:, :motion_size], numbers[:, motion_size:]

    @torch.no_grad()
    def read(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Motion (F, 13) and identity (F, n) of each frame, each number scaled to [-1, 1] by its range.

        Args:
            frames: (F, H, W, 3) RGB, square; resized to 128 × 128 where they have another size.
        """
        bicubic = Image.Resampling.BICUBIC
        sized = (
            frames
            if frames.shape[1:3] == (READER_SIZE, READER_SIZE)
            else np.stack([resize(frame, READER_SIZE, READER_SIZE, bicubic) for frame in frames])
        )
        pixels = torch.from_numpy(np.ascontiguousarray(sized)).permute(0, 3, 1, 2)  # (frames, 3, H, W)
        device = self.head.weight.device
        read = [self(part.to(device).float() / 255) for part in pixels.split(READ_AT_ONCE)]
        motion, identity = (torch.cat(parts).cpu().numpy() for parts in zip(*read, strict=True))
        return motion, identity

    def save(self, path: str | PathLike[str], **notes: str) -> None:
        """Writes weights in half precision, sizes, the names of what is read and `notes` to a safetensors file."""
        metadata = {"config": json.dumps(self.config), "names": json.dumps(_names()), **notes}
        weights = {name: weight.half().contiguous().cpu() for name, weight in self.state_dict().items()}
        save_file(weights, path, metadata=metadata)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "MotionReader":
        """The reader in a file that `save` wrote, in eval mode and float32.

        Raises:
            CheckpointError: the file is missing or no reader.
            UserError: it reads other parameters than faces are drawn with now.
        """
        if not Path(path).is_file():
            raise CheckpointError(f"There is no reader {path}; train it with recipes/drawn_faces/train_reader.py.")
        try:
            with safe_open(path, framework="pt") as file:
                metadata: dict[str, Any] = {key: json.loads(file.metadata()[key]) for key in ("config", "names")}
                weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            reader = cls(**metadata["config"])
            if metadata["names"] != _names():
                raise UserError(f"{path} was trained for faces drawn with other parameters; train it again.")
            reader.load_state_dict(weights)
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, RuntimeError) as error:
            raise CheckpointError(f"{path} is no reader of drawn faces ({error}); train it again.") from error
        return reader.eval()


def _names() -> list[str]:
    return [*Motion.names(), *Identity.names()]
