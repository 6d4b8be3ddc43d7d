"""What frozen networks see in a clip, worked out once and kept with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..face.driving import POSE_SIZE
from ..face.geometry import face_square
from ..face.pixels import Picture, cut, resize
from ..models import MotionExtractor
from ..models.precision import Float32Weights
from .clip import Clip

BATCH = 16  # frames that a network sees at once


def face_crops(
    frames: NDArray[np.uint8], landmarks: NDArray[np.float64], anchor_box: NDArray[np.float64], size: int
) -> torch.Tensor:
    """The face crops of a clip's frames, (F, 3, size, size) uint8 (contract, "Face crop").

    Args:
        frames: (F, S, S, 3) RGB.
        landmarks: (F, 5, 2) in the frames' pixels.
        anchor_box: (4,) the face box, in the same pixels, of the frame that stands for the first driving frame.
        size: the crops' side.
    """
    return _as_tensor(
        [
            resize(cut(frame, face_square(points, anchor_box)), size, size, Image.Resampling.BILINEAR)
            for frame, points in zip(frames, landmarks, strict=True)
        ]
    )


def pose_crops(frames: NDArray[np.uint8], size: int) -> torch.Tensor:
    """The pose crops of a clip's frames, (F, 3, size, size) uint8: the whole square (contract, "Pose crop")."""
    heads = (
        resize(frame, POSE_SIZE, POSE_SIZE, Image.Resampling.BICUBIC) if len(frame) != POSE_SIZE else frame
        for frame in frames
    )
    return _as_tensor([resize(head, size, size, Image.Resampling.BILINEAR) for head in heads])


@torch.no_grad()
def add_latents(clip: Clip, vae: Any) -> Clip:
    """The clip with its latents: the mode of the VAE's encoding in float32, times its scaling factor, as float16.

    Args:
        vae: an `AutoencoderKLTemporalDecoder` in eval mode, on the device that it is to run on.
    """
    parts = []
    for start in range(0, len(clip), BATCH):
        pixels = _as_tensor(clip.frames[start : start + BATCH]).to(vae.device).float() / 127.5 - 1
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
        anchors: frame numbers, at least one.
        jitter: changes the colours of an anchor's face crops, (F, 3, S, S) in [0, 1]; called once an anchor.
    """
    size, device = motion_extractor.config.image_size, motion_extractor.device
    pose = pose_crops(clip.frames, size)
    expression: list[torch.Tensor] = []
    rotation = torch.empty(0)
    for anchor in anchors:
        crops = face_crops(clip.frames, clip.landmarks, clip.face_boxes[anchor], size).float() / 255
        batches = (crops if jitter is None else jitter(crops)).to(device).split(BATCH)
        if len(expression) == 0:
            heads = (batch.to(device).float() / 255 for batch in pose.split(BATCH))
            seen = [motion_extractor(face, head) for face, head in zip(batches, heads, strict=True)]
            expression.append(torch.cat([part.expression for part in seen]))
            # It is read from the whole square, which is the same for all anchors.
            rotation = torch.cat([part.rotation for part in seen])
        else:
            expression.append(torch.cat([motion_extractor.expression_encoder(face) for face in batches]))
    return replace(
        clip,
        anchors=np.array(anchors, dtype=np.int64),
        expression=torch.stack(expression).half().cpu().numpy(),  # (anchors, frames, numbers)
        rotation=rotation.float().expand(len(anchors), -1, -1).cpu().numpy(),
    )


def _as_tensor(pictures: Sequence[Picture] | NDArray[np.uint8]) -> torch.Tensor:
    """(F, H, W, 3) to (F, 3, H, W) uint8."""
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).contiguous()
