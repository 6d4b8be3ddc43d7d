"""From a clip to one training example: which frames, which pictures of them, and all that is drawn by chance.

Whatever is random is drawn here, the noise too, so that a training step is a function of its batch alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..dataset import Clip, face_crops, pose_crops
from ..errors import UserError
from ..face import intensity_levels
from ..face.pixels import Picture, arcface_image, dino_image, resize
from ..face.skeletons import draw_skeletons, drop_edges, drop_eyes, moved
from ..pipeline import MOTION_CHUNK, PAD_FRAMES
from ..poses import POSES
from .options import option

if TYPE_CHECKING:
    from ..pipeline import HunyuanPortraitPipeline

PORTRAIT_SIZE = 512  # the portrait that DINO's and ArcFace's pictures are made from, whatever size is generated
FEATURE_REACH = 0.4  # distances between the eyes: how far about a point an eye or the mouth counts
# Luma, and two axes of colour that hue turns and saturation stretches.
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class ExampleOptions:
    """How examples are drawn from clips."""

    cached_latents: bool = option(False, "take the clips' stored latents instead of encoding their pictures")
    cached_motion: bool = option(
        False, "take the stored numbers of expression and head pose; leaves colour jitter out"
    )
    brightness: float = option(
        0.2, "colour jitter of the face crops: brightness by up to this share", low=0, high=1
    )
    contrast: float = option(0.2, "the same for contrast", low=0, high=1)
    saturation: float = option(0.2, "the same for saturation", low=0, high=1)
    hue: float = option(0.05, "the same for hue, as a share of the colour circle", low=0, high=0.5)
    style_probability: float = option(
        0.0, "probability that a clip with stylised copies shows in them: one for appearance, one for motion",
        low=0, high=1,
    )  # fmt: skip
    padding_probability: float = option(
        0.0,
        "probability that an example reaches into the padding, where the motion fades in or out",
        low=0,
        high=1,
    )
    pose: str = option(
        "none",
        "what the pose guider is shown: black pictures, or the stored skeletons of `prepare --pose dwpose`",
        choices=POSES,
    )
    drop_edges: float = option(
        0.1,
        "probability that an edge of an example's skeletons is left out, or a part of the face",
        low=0,
        high=1,
    )
    drop_eyes: float = option(
        0.5,
        "probability that an example's skeletons have no eyes, as those of another person's clip",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class Sizes:
    """What a model's networks take; sides in pixels."""

    picture: int
    latent: int
    latent_channels: int
    dino: int
    motion: int

    @classmethod
    def of(cls, pipe: "HunyuanPortraitPipeline") -> "Sizes":
        """Those of `pipe`, whose `resolution` is trained at."""
        return cls(
            picture=pipe.config.resolution,
            latent=pipe.config.resolution // pipe.vae_scale_factor,
            latent_channels=pipe.vae.config.latent_channels,
            dino=pipe.im_adapter.config.image_size,
            motion=pipe.motion_extractor.config.image_size,
        )


def make_example(
    clip: Clip, num_frames: int, sizes: Sizes, options: ExampleOptions, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """One example: a portrait from one frame of the clip, the ID from another, the motion from a run of frames.

    The portrait's frame stands for the driving clip's first: motion, position and size are told relative to it,
    as inference tells the driver's relative to its own first frame.

    Returns:
        A dict of tensors, which `default_collate` batches:

        - `latents` (F, c, h, w) and `portrait_latents` (c, h, w), times the VAE's scaling factor; or, where they
          are not cached, `frames` (F, 3, H, W) and `portrait` (3, H, W), uint8;
        - `dino_image` (3, d, d), normalised, and `arcface_image` (3, 112, 112) in [0, 1];
        - `expression` (F, E) and `rotation` (F, 3) in degrees; or, where they are not cached, `face_crops` and
          `pose_crops` (F, 3, s, s) in [0, 1];
        - `head_level`, `expression_level` () of the chunk that the run is from;
        - `token_scale` (F,): 1, or in the padding what the motion has faded to;
        - `face_mask` (F, 1, h, w): which share of each latent pixel is in the face's box;
        - `feature_mask` (F, 1, h, w): from 0 far from eyes and mouth to 1 in them;
        - with a pose, `pose_images` (F, 3, H, W), uint8;
        - `noise` (F, c, h, w) and `noise_level` (), standard-normal, and `drop` (), uniform in [0, 1).

    Raises:
        UserError: the clip is shorter than `num_frames`, or lacks the caches asked for.
    """
    if len(clip) < num_frames:
        raise UserError(
            f"A clip has {len(clip)} frames, but examples are to have {num_frames}; lower `num_frames`, or "
            "prepare longer clips."
        )
    chunk, frames, token_scale = _draw_run(len(clip), num_frames, options.padding_probability, rng)
    # What is cached was worked out for some anchors alone.
    anchor = int(rng.integers(len(clip)) if not options.cached_motion else rng.choice(_cached(clip, "anchors")))
    id_frame = int(rng.integers(len(clip)))
    appearance, motion = _draw_styles(clip, options.style_probability, rng)

    latent_shape = (num_frames, sizes.latent_channels, sizes.latent, sizes.latent)
    example = {
        "noise": torch.from_numpy(rng.standard_normal(latent_shape, dtype=np.float32)),
        "noise_level": torch.tensor(rng.standard_normal(), dtype=torch.float32),
        "drop": torch.tensor(rng.random(), dtype=torch.float32),
        "dino_image": dino_picture(appearance[anchor], sizes.dino),
        "arcface_image": arcface_picture(appearance[id_frame], clip.landmarks[id_frame]),
    }
    if options.cached_latents:
        latents = _cached_latents(clip, sizes)
        example["latents"], example["portrait_latents"] = latents[frames], latents[anchor]
    else:
        example["frames"] = as_tensor([resized(appearance[frame], sizes.picture) for frame in frames])
        example["portrait"] = as_tensor([resized(appearance[anchor], sizes.picture)])[0]

    if options.cached_motion:
        row = _cached(clip, "anchors").tolist().index(anchor)
        example["expression"] = torch.from_numpy(_cached(clip, "expression")[row, frames]).float()
        example["rotation"] = torch.from_numpy(_cached(clip, "rotation")[row, frames]).float()
    else:
        faces = face_crops(motion[frames], clip.landmarks[frames], clip.face_boxes[anchor], sizes.motion)
        example["face_crops"] = jitter_colors(faces.float() / 255, options, rng)
        example["pose_crops"] = pose_crops(motion[frames], sizes.motion).float() / 255
    head_level, expression_level = intensity_levels(clip.landmarks[chunk])
    if options.pose != "none":  # drawn last, so that the others' draws are the same without
        example["pose_images"] = _draw_poses(clip, frames, sizes.picture, options, rng)

    scale = sizes.latent / clip.frames.shape[1]
    return example | {
        "head_level": torch.tensor(head_level),
        "expression_level": torch.tensor(expression_level),
        "token_scale": torch.from_numpy(token_scale).float(),
        "face_mask": torch.from_numpy(box_masks(clip.face_boxes[frames] * scale, sizes.latent)).float(),
        "feature_mask": torch.from_numpy(feature_masks(clip.landmarks[frames] * scale, sizes.latent)).float(),
    }


def jitter_colors(pictures: torch.Tensor, options: ExampleOptions, rng: np.random.Generator) -> torch.Tensor:
    """The pictures (F, 3, H, W) in [0, 1] in other colours, the same change for all of them."""
    strengths = np.array([options.brightness, options.contrast, options.saturation])
    brightness, contrast, saturation = 1 + strengths * rng.uniform(-1, 1, 3)
    angle = 2 * np.pi * options.hue * rng.uniform(-1, 1)
    turn = saturation * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    change = np.eye(3)
    change[1:, 1:] = turn
    colors = torch.from_numpy(np.linalg.inv(YIQ) @ change @ YIQ).float()
    changed = torch.einsum("ij,fjhw->fihw", colors, pictures)
    changed = brightness * (contrast * changed + (1 - contrast) * pictures.mean())
    return changed.clamp(0, 1)


def box_masks(boxes: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Which share of each pixel lies in a box: boxes (F, 4) in pixels to (F, 1, side, side) in [0, 1]."""
    starts = np.arange(side)

    def covered(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
        ends = np.minimum(starts + 1, high[:, None])
        return (ends - np.maximum(starts, low[:, None])).clip(0, 1)  # (frames, side)

    x1, y1, x2, y2 = boxes.T
    return (covered(y1, y2)[:, :, None] * covered(x1, x2)[:, None, :])[:, None]


def feature_masks(points: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """How near each pixel is to an eye, the nose or the mouth: points (F, 5, 2) in pixels to (F, 1, side, side).

    1 in them, falling to 0 over `FEATURE_REACH` distances between the eyes, as a normal density does.
    """
    places = np.concatenate([points, points[:, 3:].mean(axis=1, keepdims=True)], axis=1)  # the mouth's middle too
    reach = FEATURE_REACH * np.linalg.norm(points[:, 1] - points[:, 0], axis=1).clip(1e-6)  # (frames,)
    y, x = np.mgrid[:side, :side] + 0.5
    squared = (x - places[..., 0, None, None]) ** 2 + (y - places[..., 1, None, None]) ** 2
    return np.exp(-squared / (2 * reach[:, None, None, None] ** 2)).max(axis=1, keepdims=True)


def _cached(clip: Clip, name: str) -> NDArray:
    values = getattr(clip, name)
    if values is None:
        raise UserError(
            f"Every clip needs its {name} stored, but one has none; prepare the clips with this model, or turn "
            "`cached_latents` and `cached_motion` off."
        )
    return values


def _draw_poses(
    clip: Clip, frames: NDArray[np.int64], side: int, options: ExampleOptions, rng: np.random.Generator
) -> torch.Tensor:
    """The skeletons of these frames, with edges dropped by chance: (F, 3, side, side) uint8."""
    points = scaled_keypoints(clip, side)[frames]
    keypoints, kept = drop_edges(drop_eyes(points, options.drop_eyes, rng), options.drop_edges, rng)
    return as_tensor(list(draw_skeletons(keypoints, side, side, kept)))


def scaled_keypoints(clip: Clip, side: int) -> NDArray[np.float32]:
    """The clip's key points, (F, 134, 3), in pixels of its frames at another size.

    Raises:
        UserError: it has none.
    """
    if clip.keypoints is None:
        raise UserError(
            "Every clip needs its key points stored for skeletons, but one has none; prepare the clips with "
            "--pose dwpose, or set `examples.pose` to none."
        )
    return moved(clip.keypoints, np.full(2, side / clip.frames.shape[1]), np.zeros(2))


def _cached_latents(clip: Clip, sizes: Sizes) -> torch.Tensor:
    latents = _cached(clip, "latents")
    shape = (len(clip), sizes.latent_channels, sizes.latent, sizes.latent)
    if latents.shape != shape:
        raise UserError(
            f"A clip's stored latents have shape {latents.shape}, but this model needs {shape}; prepare the clips "
            "with this model, or turn `cached_latents` off."
        )
    return torch.from_numpy(latents).float()


def _draw_run(
    clip_length: int, num_frames: int, padding_probability: float, rng: np.random.Generator
) -> tuple[slice, NDArray[np.int64], NDArray[np.float64]]:
    """The chunk whose intensity counts, the frames shown, and what their motion tokens are scaled by.

    The chunk is what inference would take for a driving clip: padded at both ends, its windows go around. A run in
    the padding is one of these windows that holds frames of both the padding and the clip.
    """
    length = min(clip_length, max(MOTION_CHUNK, num_frames))
    begin = int(rng.integers(clip_length - length + 1))
    start = PAD_FRAMES + int(rng.integers(length - num_frames + 1))
    if num_frames > 1 and rng.random() < padding_probability:
        padded = int(rng.integers(1, num_frames))
        at_begin = rng.random() < 0.5
        start = PAD_FRAMES - padded if at_begin else PAD_FRAMES + length - num_frames + padded
    places = (start + np.arange(num_frames)) % (length + 2 * PAD_FRAMES) - PAD_FRAMES
    rising, falling = places / PAD_FRAMES + 1, 1 - (places - length) / PAD_FRAMES  # contract, "Padding"
    token_scale = np.minimum(np.minimum(rising, falling), 1)
    return slice(begin, begin + length), begin + places.clip(0, length - 1), token_scale


def _draw_styles(
    clip: Clip, probability: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The clip's frames as appearance is to be seen, and as motion is."""
    if not clip.styles or rng.random() >= probability:
        return clip.frames, clip.frames
    copies = [clip.frames, *(clip.styles[name] for name in sorted(clip.styles))]
    first, second = rng.integers(len(copies), size=2)
    return copies[first], copies[second]


def dino_picture(frame: Picture, size: int) -> torch.Tensor:
    """A frame of a clip, whose square is the portrait, as DINO takes it: (3, size, size), normalised."""
    return dino_image(resized(frame, PORTRAIT_SIZE), size)[0]


def arcface_picture(frame: Picture, landmarks: NDArray[np.float64]) -> torch.Tensor:
    """The same as ArcFace takes it: (3, 112, 112) in [0, 1]."""
    points = landmarks * (PORTRAIT_SIZE / frame.shape[0])
    return torch.from_numpy(arcface_image(resized(frame, PORTRAIT_SIZE), points)).permute(2, 0, 1)


def resized(frame: Picture, side: int) -> Picture:
    """A square picture at another size, as a portrait's square is cut."""
    return frame if frame.shape[0] == side else resize(frame, side, side, Image.Resampling.BICUBIC)


def as_tensor(pictures: Sequence[Picture]) -> torch.Tensor:
    """Pictures of one size as (N, 3, H, W) uint8."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
