"""Films with painted squares for faces, the detector that finds them, and small networks to see them by."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder

from diffusers_hunyuan_portrait import MotionExtractor
from diffusers_hunyuan_portrait.face import Face
from diffusers_hunyuan_portrait.media import VideoWriter

RED = (220, 0, 0)
# Of a square's side, from its corner: where the five points are.
POINTS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])


def paint(*faces: tuple[int, int, int], background: int = 60, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A grey (H, W, 3) picture with a red square for each face, (x, y, side)."""
    picture = np.full((*size, 3), background, np.uint8)
    for x, y, side in faces:
        picture[y : y + side, x : x + side] = RED
    return picture


def film(path: Path, frames: Iterable[np.ndarray], frame_rate: int = 25) -> Path:
    """Encodes frames losslessly but for the colours' resolution, which even places keep."""
    with VideoWriter(path, frame_rate=frame_rate, quality=0) as writer:
        for frame in frames:
            writer.write(frame)
    return path


class PaintedFaceDetector:
    """Finds the red squares."""

    name = "painted"

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, image: np.ndarray) -> list[Face]:
        self.asked += 1
        red = ((image[..., 0] > 150) & (image[..., 1] < 60)).astype(np.uint8)
        _, _, places, _ = cv2.connectedComponentsWithStats(red)
        return [
            Face((x, y, x + width, y + height), [x, y] + POINTS * [width, height], 1.0)
            for x, y, width, height, area in places[1:].tolist()
            if area >= 16
        ]


def small_motion_extractor() -> MotionExtractor:
    """An untrained one for crops of 32 pixels, the same each time."""
    torch.manual_seed(0)
    depths = (1, 1)
    return MotionExtractor(
        image_size=32,
        expression_depths=depths,
        expression_width=8,
        expression_dim=16,
        head_pose_depths=depths,
        head_pose_width=8,
        head_pose_groups=4,
        num_memories=2,
        width=16,
        num_blocks=1,
        num_heads=2,
        intensity_embed_dim=16,
        refined_dim=10,
    ).eval()


def small_vae() -> AutoencoderKLTemporalDecoder:
    """An untrained one that makes latents of an eighth of the side, the same each time."""
    torch.manual_seed(0)
    return AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 4, block_out_channels=(32,) * 4, layers_per_block=1
    ).eval()
