"""What frozen networks see in a clip, worked out once and kept with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..face.geometry import face_square
from ..face.pixels import Picture, cut, resize
from ..models import MotionExtractor
from ..models.precision import Float32Weights
from .clip import Clip

BATCH = 16  # frames that a network sees at once


def face_crops(clip: Clip, anchor: int, size: int) -> list[Picture]:
    """The face crop of each frame, (size, size, 3), where frame `anchor` stands for the first driving frame.

    Contract, "Face crop".
    """
    box = clip.face_boxes[anchor]
    return [
        resize(cut(frame, face_square(points, box)), size, size, Image.Resampling.BILINEAR)
        for frame, points in zip(clip.frames, clip.landmarks, strict=True)
    ]


def pose_crops(clip: Clip, size: int) -> list[Picture]:
    """The pose crop of each frame, (size, size, 3): the whole square (contract, "Pose crop")."""
    return [resize(frame, size, size, Image.Resampling.BILINEAR) for frame in clip.frames]


@torch.no_grad()
def add_latents(clip: Clip, vae: Any) -> Clip:
    """The clip with its latents: the mode of the VAE's encoding in float32, times its scaling factor, as float16.

    Args:
        vae: an `AutoencoderKLTemporalDecoder` in eval mode, on the device that it is to run on.
    """
    parts = []
    for start in range(0, len(clip), BATCH):
        pixels = _as_tensor(clip.frames[start : start + BATCH]).to(vae.device) * 2 - 1
        with Float32Weights():
            parts.append(vae.encode(pixels).latent_dist.mode())
    latents = torch.cat(parts) * vae.config.scaling_factor  # (frames, channels, h, w)
    return replace(clip, latents=latents.half().cpu().numpy())


@torch.no_grad()
def add_expression(
    clip: Clip,
    motion_extractor: MotionExtractor,
    anchors: Sequence[int],
    jitter: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Clip:
    """The clip with the expression encoder's numbers and the head's rotation, for each of the anchors.

    Args:
        motion_extractor: in eval mode, on the device that it is to run on.
        anchors: frame numbers.
        jitter: changes the colours of an anchor's face crops, (F, 3, S, S) in [0, 1]; called once an anchor.
    """
    size = motion_extractor.config.image_size
    pose = _as_tensor(pose_crops(clip, size))
    expression, rotation = [], torch.empty(0)
    for anchor in anchors:
        crops = _as_tensor(face_crops(clip, anchor, size))
        crops = crops if jitter is None else jitter(crops)
        if not len(rotation):  # it looks at the whole square, and is the same for all anchors
            seen = [
                motion_extractor(face.to(motion_extractor.device), head.to(motion_extractor.device), 0, 0)
                for face, head in zip(crops.split(BATCH), pose.split(BATCH), strict=True)
            ]
            rotation = torch.cat([part.rotation for part in seen])
            expression.append(torch.cat([part.expression for part in seen]))
        else:
            encode = motion_extractor.expression_encoder
            expression.append(torch.cat([encode(face.to(rotation.device)) for face in crops.split(BATCH)]))
    return replace(
        clip,
        anchors=np.array(anchors, dtype=np.int64),
        expression=torch.stack(expression).half().cpu().numpy(),  # (anchors, frames, numbers)
        rotation=rotation.float().expand(len(anchors), -1, -1).cpu().numpy(),
    )


def _as_tensor(pictures: Sequence[Picture] | np.ndarray) -> torch.Tensor:
    """(F, H, W, 3) uint8 to (F, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float().contiguous() / 255
