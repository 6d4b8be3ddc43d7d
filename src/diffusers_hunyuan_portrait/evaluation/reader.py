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
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from ..drawn_faces import Identity, Motion
from ..errors import CheckpointError, UserError
from ..face.pixels import resize
from ..models.motion_extractor import ResidualBlock

READER_SIZE = 128  # pixels a side of the pictures it reads
FACE_SIZE = 80  # pixels a side of the face as it is looked at closely
READ_AT_ONCE = 32  # frames

# Where the five points lie in that closer look, whose corners are (-1, -1) and (1, 1).
FACE_POINTS = ((-0.38, -0.35), (0.38, -0.35), (0.0, 0.1), (-0.31, 0.54), (0.31, 0.54))


class MotionReader(nn.Module):
    """Finds the face's five points, looks at the face closely, upright and at one size, and reads its parameters.

    It is trained apart from every part of the animated model, and shares no weights with any.

    Args:
        picture_widths: channels of the network that sees the whole picture at half its size, layer by layer.
        face_widths: the same of the network that sees the face.
        map_channels: channels that every place of a last map is described with; no place is lost in a mean, as
            position and gaze are to be read.
        hidden: numbers that picture and face each are described with.
    """

    def __init__(
        self,
        picture_widths: tuple[int, ...] = (16, 32, 64, 96),
        face_widths: tuple[int, ...] = (16, 48, 96, 128),
        map_channels: int = 48,
        hidden: int = 256,
    ):
        super().__init__()
        self.config = {
            "picture_widths": list(picture_widths),
            "face_widths": list(face_widths),
            "map_channels": map_channels,
            "hidden": hidden,
        }
        self.picture_network = _encoder(READER_SIZE // 2, picture_widths, map_channels, hidden)
        self.face_network = _encoder(FACE_SIZE, face_widths, map_channels, hidden)
        self.to_points = nn.Linear(hidden, 10)
        self.head = nn.Linear(2 * hidden + 10, len(Motion.names()) + len(Identity.names()))

    def forward(
        self, pixels: torch.Tensor, points: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Reads pictures.

        Args:
            pixels: (B, 3, 128, 128) in [0, 1].
            points: (B, 5, 2), where to look for the face instead of where it was found, for training.

        Returns:
            Motion (B, 13) and identity (B, n), as their `to_vector` scales them, and the five points (B, 5, 2) as
            they were found, the picture's corners being (-1, -1) and (1, 1).
        """
        pixels = 2 * pixels - 1
        picture = self.picture_network(avg_pool2d(pixels, 2))
        found = self.to_points(picture).float().unflatten(1, (5, 2))
        looked_at = found.detach() if points is None else points
        face = self.face_network(_upright_faces(pixels, looked_at))
        numbers = self.head(torch.cat([picture, face, looked_at.flatten(1).to(face.dtype)], dim=1))
        motion, identity = numbers.split([len(Motion.names()), len(Identity.names())], dim=1)
        return motion, identity, found

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
        motion, identity, _ = (torch.cat(parts).cpu().numpy() for parts in zip(*read, strict=True))
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


def _encoder(size: int, widths: tuple[int, ...], map_channels: int, hidden: int) -> nn.Sequential:
    """(B, 3, size, size) to (B, hidden); every layer halves the size."""
    blocks = [ResidualBlock(width, wider, 2, 8, False) for width, wider in itertools.pairwise(widths)]
    places = (size // 2 ** len(widths)) ** 2
    return nn.Sequential(
        nn.Conv2d(3, widths[0], 5, stride=2, padding=2),
        nn.ReLU(),
        *blocks,
        nn.Conv2d(widths[-1], map_channels, 1),
        nn.Flatten(),
        nn.Linear(places * map_channels, hidden),
        nn.ReLU(),
    )


def _upright_faces(pixels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The faces, (B, 3, FACE_SIZE, FACE_SIZE), turned, scaled and shifted so that `points` lie on `FACE_POINTS`.

    As nearly as they can: by the similarity with the least squared error, a regression in complex numbers.
    """
    targets = torch.view_as_complex(torch.tensor(FACE_POINTS, device=points.device))  # (points,)
    sources = torch.view_as_complex(points.float().contiguous())  # (faces, points)
    spread = targets - targets.mean()
    factor = (sources * spread.conj()).sum(1) / spread.abs().square().sum()
    shift = sources.mean(1) - factor * targets.mean()
    rows = (factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag)
    transforms = torch.stack(rows, dim=1).unflatten(1, (2, 3))  # from places in the face to places in the picture
    grid = affine_grid(transforms, [len(pixels), 3, FACE_SIZE, FACE_SIZE], align_corners=False)
    return grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)


def _names() -> list[str]:
    return [*Motion.names(), *Identity.names()]
