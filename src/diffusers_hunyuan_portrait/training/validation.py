"""What a run shows on clips that are not trained on: whether motion is taken up, and how it looks."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from ..conditions import PortraitConditions
from ..dataset import Clip, face_crops, pose_crops
from ..media import VideoWriter
from ..pipeline import MOTION_CHUNK, PAD_FRAMES
from ..progress import no_progress
from .clips import Clips
from .config import TrainingConfig
from .examples import Sizes, arcface_picture, as_tensor, dino_picture, make_example, resized, scaled_keypoints

if TYPE_CHECKING:
    from ..pipeline import HunyuanPortraitPipeline

MOTION = ("face_crops", "pose_crops", "expression", "rotation", "head_level", "expression_level")
SHOWN = 8  # frames in the picture for TensorBoard
_STREAM = 100  # of random numbers, apart from those of training


def make_validation_batch(clips: Clips, sizes: Sizes, config: TrainingConfig) -> dict[str, torch.Tensor]:
    """Examples of held-out clips, always the same, with all conditions, at noise levels spread evenly."""
    count = config.validation.examples
    examples = [
        make_example(
            clips[number % len(clips)],
            config.run.num_frames[0],
            sizes,
            config.examples,
            np.random.default_rng([config.seed, _STREAM, number]),
        )
        for number in range(count)
    ]
    batch = default_collate(examples)
    batch["drop"] = torch.ones(count)
    batch["noise_level"] = torch.special.ndtri((torch.arange(count) + 0.5) / count)
    return batch


@torch.no_grad()
def compare_motions(module: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """The loss with each example's own motion, and with its neighbour's: as long as they are equal, the motion
    has not been taken up."""
    swapped = {name: value.roll(1, 0) if name in MOTION else value for name, value in batch.items()}
    module.eval()
    losses = {
        "validation/loss": module(batch).item(),
        "validation/loss_with_wrong_motion": module(swapped).item(),
    }
    module.train()
    return losses


def conditions_of(pipe: "HunyuanPortraitPipeline", clip: Clip, pose: str = "none") -> PortraitConditions:
    """What animates the clip's first frame with the clip's own motion; its points are known already."""
    sizes = Sizes.of(pipe)
    faces = face_crops(clip.frames, clip.landmarks, clip.face_boxes[0], sizes.motion)
    heads = pose_crops(clip.frames, sizes.motion)
    arcface = arcface_picture(clip.frames[0], clip.landmarks[0]).permute(1, 2, 0).numpy()
    keypoints = None
    if pose != "none":  # of the portrait's own person, in the portrait's own square: there is nothing to fit
        padded = np.pad(scaled_keypoints(clip, sizes.picture), ((PAD_FRAMES, PAD_FRAMES), (0, 0), (0, 0)), "edge")
        keypoints = torch.from_numpy(padded)[None]
    return PortraitConditions(
        portrait=as_tensor([resized(clip.frames[0], sizes.picture)]).float() / 127.5 - 1,
        dino_image=dino_picture(clip.frames[0], sizes.dino)[None],
        id_embedding=pipe._encode_identity(arcface),
        motion_tokens=pipe.encode_motion(faces.float() / 255, heads.float() / 255, clip.landmarks),
        pad_frames=PAD_FRAMES,
        pose_keypoints=keypoints,
    )


def animate_clip(
    pipe: "HunyuanPortraitPipeline", clip: Clip, seed: int, sampling: Mapping[str, Any], pose: str = "none"
) -> tuple[NDArray[np.uint8], float]:
    """A held-out clip made again from its first frame and its motion.

    Args:
        sampling: arguments of the pipeline's call.
        pose: what the pose guider is shown, as in training, but with all edges.

    Returns:
        (F, H, 3·W, 3): portrait, truth and result beside each other, of the clip's first second or so; and the
        result's PSNR in dB.
    """
    frames = slice(0, MOTION_CHUNK)
    keypoints = None if clip.keypoints is None else clip.keypoints[frames]
    clip = Clip(
        clip.frames[frames],
        clip.landmarks[frames],
        clip.face_boxes[frames],
        clip.frame_rate,
        keypoints=keypoints,
    )
    output: Any = pipe(
        conditions=conditions_of(pipe, clip, pose),
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="np",
        on_progress=no_progress,
        **sampling,
    )
    made: NDArray[np.float32] = output.frames[0]  # (frames, H, W, 3) in [0, 1]
    truth = np.stack([resized(frame, made.shape[1]) for frame in clip.frames])
    result = np.round(made * 255).astype(np.uint8)
    error = np.square(result.astype(np.float64) - truth).mean()
    portrait = np.broadcast_to(truth[:1], truth.shape)
    return np.concatenate([portrait, truth, result], axis=2), float(10 * np.log10(255**2 / max(error, 1e-10)))


def write_clip(path: Path, frames: NDArray[np.uint8], frame_rate: float) -> None:
    """Writes pictures (F, H, W, 3) as a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, frame_rate=frame_rate) as writer:
        for frame in frames:
            writer.write(frame)


def film_strip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Some of the pictures (F, H, W, 3) from first to last, one below the other: (1, n·H, W, 3)."""
    chosen = np.linspace(0, len(frames) - 1, min(SHOWN, len(frames))).round().astype(int)
    return np.concatenate(list(frames[chosen]))[None]
