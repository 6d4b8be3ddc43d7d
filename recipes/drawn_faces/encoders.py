"""Pre-trains what the small model sees with: motion, identity and image encoders, by the truth of drawn clips."""

from collections.abc import Sequence

import numpy as np
import torch
from components import RESOLUTION, describe_motion
from scenes import motion_from, true_motion
from torch import nn
from torch.nn.functional import avg_pool2d, mse_loss, normalize, smooth_l1_loss, unfold

from diffusers_hunyuan_portrait import IMAdapter, MotionExtractor
from diffusers_hunyuan_portrait.dataset import Clip, face_crops, pose_crops
from diffusers_hunyuan_portrait.drawn_faces import MOTION_RANGES, Identity, Motion
from diffusers_hunyuan_portrait.evaluation import training_generator
from diffusers_hunyuan_portrait.models import IDEncoder
from diffusers_hunyuan_portrait.training.examples import (
    ExampleOptions,
    arcface_picture,
    dino_picture,
    jitter_colors,
    resized,
)

MOTION, IDENTITY, IMAGE = 5, 6, 7  # keys of the training generator
BATCH_SIZE = 32
JITTER = ExampleOptions(brightness=0.3, contrast=0.3, saturation=0.4, hue=0.1)
SMALLER_SHARE = 0.3  # of the pictures
POINT_NOISE = 0.004  # of the picture's side: no detector is exact
NOISE = 0.03  # of the range of colours, at most
ROTATION, PLACE = ("yaw", "pitch", "roll"), ("x", "y", "size")


class MotionLoss(nn.Module):
    """Expression and head-pose encoders against the true motion, whoever shows it.

    Args:
        extractor: of which the two encoders are trained.
        clips: the drawn clips.
    """

    def __init__(self, extractor: MotionExtractor, clips: Sequence[Clip]):
        super().__init__()
        self.expression, self.head_pose = extractor.expression_encoder, extractor.head_pose_encoder
        self.size, self.clips = extractor.config.image_size, clips
        self.rotation = [Motion.names().index(name) for name in ROTATION]
        self.place = [Motion.names().index(name) for name in PLACE]
        # Symmetric ranges, so that degrees are what a vector's entry says times the highest.
        self.degrees = torch.tensor([MOTION_RANGES[name][1] for name in ROTATION])

    def forward(self, step: int) -> torch.Tensor:
        rng = training_generator(MOTION, step)
        faces, heads, seen, true = [], [], [], []
        for _ in range(BATCH_SIZE):
            clip = self.clips[rng.integers(len(self.clips))]
            frame, anchor = rng.integers(len(clip), size=2)
            side, box = len(clip.frames[0]), clip.face_boxes[anchor]
            points = clip.landmarks[frame] + rng.normal(0, POINT_NOISE * side, (5, 2))
            # Drivers come in any size.
            smaller = int(rng.integers(RESOLUTION, side)) if rng.random() < SMALLER_SHARE else side
            picture, scale = resized(clip.frames[frame], smaller)[None], smaller / side
            face = face_crops(picture, scale * points[None], scale * box, self.size)
            head = pose_crops(picture, self.size)
            faces.append(_spoil(face, rng))
            heads.append(_spoil(head, rng))
            seen.append(motion_from(clip, anchor)[frame])
            true.append(true_motion(clip)[frame])
        expression = self.expression(torch.cat(faces)).float()
        told = self.head_pose(2 * torch.cat(heads) + 1).float().sigmoid()
        truth = torch.from_numpy(np.stack(true))  # (batch, parameters)
        rotation, place = 360 * told[:, :3] - 180, 4 * told[:, 3:] - 2
        return (
            mse_loss(expression, torch.from_numpy(describe_motion(np.stack(seen))))
            + smooth_l1_loss(rotation / self.degrees, truth[:, self.rotation], beta=0.1)
            + smooth_l1_loss(place, truth[:, self.place], beta=0.1)
        )


class IdentityLoss(nn.Module):
    """The ID encoder against the true identity, however the face moves; it is read from the vector linearly.

    Args:
        encoder: being trained.
        clips: the drawn clips.
    """

    def __init__(self, encoder: IDEncoder, clips: Sequence[Clip]):
        super().__init__()
        self.encoder, self.clips = encoder, clips
        self.head = nn.Linear(encoder.config.id_dim, len(Identity.names()))

    def forward(self, step: int) -> torch.Tensor:
        pictures, true = [], []
        for clip, frame in _draw_frames(self.clips, training_generator(IDENTITY, step)):
            pictures.append(arcface_picture(clip.frames[frame], clip.landmarks[frame]))
            true.append(clip.source["identity"])
        vectors = normalize(self.encoder(torch.stack(pictures)).embedding.float())
        # A unit vector's numbers are small.
        return smooth_l1_loss(self.head(8 * vectors), torch.tensor(true), beta=0.1)


class ImageLoss(nn.Module):
    """The image encoder's tokens against what is in the picture: who, in which pose, and each patch in 4×4 pixels.

    Args:
        im_adapter: of which the backbone is trained.
        clips: the drawn clips.
    """

    def __init__(self, im_adapter: IMAdapter, clips: Sequence[Clip]):
        super().__init__()
        self.clips, config = clips, im_adapter.config
        # The same backbone without adapters, which are trained later.
        self.encoder: IMAdapter = IMAdapter.from_config({**config, "adapter_layers": ()})
        self.encoder.backbone = im_adapter.backbone.requires_grad_(True)
        self.no_identity = torch.zeros(BATCH_SIZE, config.id_dim)
        self.patch_head = nn.Linear(config.hidden_size, 3 * 4 * 4)
        self.head = nn.Linear(config.hidden_size, len(Identity.names()) + len(Motion.names()))

    def forward(self, step: int) -> torch.Tensor:
        drawn = _draw_frames(self.clips, training_generator(IMAGE, step))
        true = [[*clip.source["identity"], *clip.source["motion"][frame]] for clip, frame in drawn]
        config = self.encoder.config
        pictures = torch.stack([dino_picture(clip.frames[frame], config.image_size) for clip, frame in drawn])
        tokens = self.encoder(pictures, self.no_identity).hidden_states.float()
        patches = unfold(avg_pool2d(pictures, config.patch_size // 4), 4, stride=4).transpose(1, 2)
        told = self.patch_head(tokens[:, 1 + config.num_register_tokens :])  # (batch, patches, numbers)
        return mse_loss(told, patches) + smooth_l1_loss(self.head(tokens[:, 0]), torch.tensor(true), beta=0.1)


def _draw_frames(clips: Sequence[Clip], rng: np.random.Generator) -> list[tuple[Clip, int]]:
    """Clips and a frame's number in each."""
    drawn = [clips[rng.integers(len(clips))] for _ in range(BATCH_SIZE)]
    return [(clip, int(rng.integers(len(clip)))) for clip in drawn]


def _spoil(crops: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(F, 3, S, S) uint8 to [0, 1] in other colours, with noise."""
    pixels = jitter_colors(crops.float() / 255, JITTER, rng)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(0, NOISE)
    return (pixels + torch.from_numpy(noise)).clamp(0, 1)
