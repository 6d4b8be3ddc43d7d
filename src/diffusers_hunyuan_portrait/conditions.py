"""`PortraitConditions`: everything that one run of the pipeline is conditioned on."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

import torch

from .errors import UserError
from .limits import check_frames
from .poses import NUM_KEYPOINTS
from .runs import runs_of

EASING = 12  # frames, about half a second: as a head takes to turn


@dataclass(frozen=True)
class PortraitConditions:
    """What is generated from: a portrait, an identity and a motion, as tensors.

    Args:
        portrait: (1, 3, H, W) in [-1, 1]; H and W are the size of the pictures made.
        dino_image: (1, 3, 224, 224), normalised by ImageNet's mean and deviation.
        id_embedding: (1, 512), unit norm, or zeros where there is no identity.
        motion_tokens: (1, F, N, C), padding frames included; may stay on the CPU.
        pose_images: (1, 3, F, H, W) in [0, 1], or `None` for black, as the released weights expect.
        pad_frames: how many of the F at each end are padding, to be dropped.
        portrait_box: x1, y1, x2, y2 of the portrait in the picture it was cut from, for pasting back.
        pose_keypoints: (1, F, 134, 3), instead of `pose_images` the key points of skeletons in pixels of the
            pictures made, as x, y and score, which the pipeline draws window by window.

    Raises:
        UserError: one is not a tensor, or a shape does not fit the others, or both forms of the pose are given.
    """

    portrait: torch.Tensor
    dino_image: torch.Tensor
    id_embedding: torch.Tensor
    motion_tokens: torch.Tensor
    pose_images: torch.Tensor | None = None
    pad_frames: int = 0
    portrait_box: Sequence[int] | None = None
    pose_keypoints: torch.Tensor | None = None

    def __post_init__(self) -> None:
        axes_of = {"portrait": 4, "dino_image": 4, "id_embedding": 2, "motion_tokens": 4}
        poses = [name for name in ("pose_images", "pose_keypoints") if getattr(self, name) is not None]
        for name in (*axes_of, *poses):
            value = getattr(self, name)
            if not isinstance(value, torch.Tensor):
                raise UserError(f"`{name}` is a {type(value).__name__}; it must be a torch tensor.")
        for name, axes in axes_of.items():
            shape = tuple(getattr(self, name).shape)
            if len(shape) != axes or shape[0] != 1:
                raise UserError(f"`{name}` has shape {shape}; it needs {axes} axes, the first of length 1.")
        if self.pad_frames < 0 or 2 * self.pad_frames >= self.num_frames:
            raise UserError(
                f"`pad_frames` is {self.pad_frames} at each end, which leaves none of {self.num_frames} frames."
            )
        expected = (1, 3, self.num_frames, *self.portrait.shape[-2:])
        if self.pose_images is not None and tuple(self.pose_images.shape) != expected:
            raise UserError(f"`pose_images` has shape {tuple(self.pose_images.shape)}; {expected} is needed.")
        points = (1, self.num_frames, NUM_KEYPOINTS, 3)
        if self.pose_keypoints is not None and tuple(self.pose_keypoints.shape) != points:
            raise UserError(f"`pose_keypoints` has shape {tuple(self.pose_keypoints.shape)}; {points} is needed.")
        if len(poses) > 1:
            raise UserError("Give `pose_images` or `pose_keypoints`, not both.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PortraitConditions":
        """From the fields by name.

        Raises:
            UserError: one that is needed is missing, or there is no such field.
        """
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        missing = [name for name in needed if name not in values]
        unknown = [str(name) for name in values if name not in {field.name for field in fields(cls)}]
        if missing or unknown:
            problem = f"lack {', '.join(missing)}" if missing else f"hold {', '.join(unknown)}"
            raise UserError(
                f"The conditions {problem}; there are {', '.join(field.name for field in fields(cls))}."
            )
        return cls(**values)

    @property
    def num_frames(self) -> int:
        """F, padding frames included."""
        return self.motion_tokens.shape[1]

    def repeated(self, times: int = 1, *, boomerang: bool = False) -> "PortraitConditions":
        """The same motion over and over, as one, so that what comes after an end goes on smoothly.

        Args:
            times: how often.
            boomerang: forwards and then backwards each time, the frames at the ends once.

        Raises:
            UserError: `times` is below 1, or there would be more frames than a run may have.
        """
        order = repetition(self.num_frames - 2 * self.pad_frames, times, boomerang)
        pad = torch.arange(self.pad_frames)
        frames = torch.cat([pad, self.pad_frames + torch.tensor(order), pad])
        tokens = self.motion_tokens[:, frames]
        fade(tokens[0], self.pad_frames)
        # Poses do not fade: the first stands through the padding before it, and the last through that behind.
        last = torch.full_like(pad, self.pad_frames + order[-1])
        frames = torch.cat([frames[: len(frames) - self.pad_frames], last])
        images, keypoints = self.pose_images, self.pose_keypoints
        return replace(
            self,
            motion_tokens=tokens,
            pose_images=None if images is None else images[:, :, frames],
            pose_keypoints=None if keypoints is None else keypoints[:, frames],
        )


def repetition(num_frames: int, times: int = 1, boomerang: bool = False) -> list[int]:
    """The numbers of the frames that are shown where a clip is repeated, in order; see `repeated`."""
    if times < 1:
        raise UserError(f"A clip cannot be repeated {times} times; use at least 1.")
    once = list(range(num_frames))
    if boomerang:
        once += once[-2:0:-1]
    check_frames(len(once) * times)
    return once * times


def fade(motion_tokens: torch.Tensor, pad_frames: int) -> None:
    """Fills the padding at both ends of (F, N, C) in place.

    It is the first frame's tokens times i / `pad_frames`, and the last's times 1 - i / `pad_frames`.
    """
    if pad_frames:
        ramp = torch.arange(pad_frames, dtype=torch.float32).view(-1, 1, 1) / pad_frames
        end = len(motion_tokens) - pad_frames
        motion_tokens[:pad_frames] = (motion_tokens[pad_frames].float() * ramp).to(motion_tokens.dtype)
        motion_tokens[end:] = (motion_tokens[end - 1].float() * (1 - ramp)).to(motion_tokens.dtype)


def ease_back(motion_tokens: torch.Tensor, held: Sequence[int], frames: int = EASING) -> None:
    """Lets a motion that is held come back smoothly, in place.

    In the last `frames` of each run of frames that hold the one before them, and those of a shorter run all, the
    motion goes evenly over to the frame after. Held frames at the clip's beginning and end stay as they are.

    Args:
        motion_tokens: (F, N, C), without padding.
        held: numbers of the frames that hold another's motion, rising.
    """
    for first, last in runs_of(held):
        if first == 0 or last + 1 == len(motion_tokens):
            continue
        start = max(first, last + 1 - frames)
        before, after = motion_tokens[start - 1].float(), motion_tokens[last + 1].float()
        for frame in range(start, last + 1):
            part = (frame - start + 1) / (last - start + 2)
            motion_tokens[frame] = torch.lerp(before, after, part).to(motion_tokens.dtype)
