"""What all stages share: a pipeline's networks as a function from a batch to a loss, conditions encoded inside."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils import BaseOutput
from torch import nn
from torch.nn.functional import normalize

from ..face import IdEncoder
from ..models.precision import Float32Weights
from .objective import (
    ObjectiveOptions,
    add_noise,
    per_example,
    scale_input,
    sigmas_at,
    time_of,
    v_target,
    weigh,
    weighted_loss,
)

if TYPE_CHECKING:
    from ..pipeline import HunyuanPortraitPipeline

ADDED_IDS = (12.5, 0.0, 0.0)  # frames a second, motion bucket, noise augmentation: as inference tells them
ENCODED_AT_ONCE = 8  # pictures; the VAE's encoder takes gigabytes for a long clip at 512×512


class Stage(nn.Module):
    """A pipeline being trained.

    What is trained is this module's own, so that its parameters, its state and what wraps it (DDP, FSDP) hold
    that and nothing else. What is frozen stays the pipeline's and follows to another device. The weights are
    shared with `pipe`, which can be run or saved meanwhile.

    Args:
        pipe: the model.
        objective: what the loss is made of.
    """

    def __init__(self, pipe: "HunyuanPortraitPipeline", objective: ObjectiveOptions | None = None):
        super().__init__()
        self.pipe = pipe
        self.objective = objective or ObjectiveOptions()
        path = None if pipe.id_encoder is not None else pipe.id_model_path
        self._onnx_encoder = None if path is None else IdEncoder(path)

    @property
    def frozen(self) -> list[nn.Module]:
        """The networks that are used and not trained."""
        raise NotImplementedError

    @property
    def sampling(self) -> dict[str, Any]:
        """Arguments of the pipeline's call that what is trained is to be sampled with, where they are others."""
        return {}

    def parameter_groups(self, learning_rate: float, new_parts_learning_rate: float) -> list[dict]:
        """The trained parameters for an optimizer."""
        return [{"params": list(self.parameters()), "lr": learning_rate}]

    def save(self, folder: Path) -> None:
        """Writes what was trained, as it is to be used."""
        raise NotImplementedError

    def _apply(self, fn, recurse=True):
        """What `to` and its like do, for the frozen networks too."""
        for network in self.frozen:
            network._apply(fn)
        return super()._apply(fn, recurse)

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss of a batch of examples (`make_example`), one number."""
        latents, portrait_latents = self.encode_pictures(batch)
        image_tokens, motion_tokens = self.encode_image(batch), self.encode_motion(batch)

        # What is dropped is zero, as in the branches of guidance: all conditions, or motion alone.
        keeps_any = batch["drop"] >= self.objective.drop_all
        keeps_motion = batch["drop"] >= self.objective.drop_all + self.objective.drop_motion
        portrait_latents = portrait_latents * per_example(keeps_any, portrait_latents)
        image_tokens = image_tokens * per_example(keeps_any, image_tokens)
        motion_tokens = motion_tokens * per_example(keeps_motion, motion_tokens)

        sigmas = sigmas_at(batch["noise_level"], self.objective.log_sigma_mean, self.objective.log_sigma_std)
        noisy = add_noise(latents, batch["noise"], sigmas)
        # The pose is in all branches of guidance, so it is never dropped.
        pose_images = batch.get("pose_images")
        prediction = self.predict(noisy, sigmas, portrait_latents, image_tokens, motion_tokens, pose_images)
        target = v_target(latents, batch["noise"], sigmas)
        return weighted_loss(prediction, target, weigh(batch["face_mask"], batch["feature_mask"], self.objective))

    def predict(
        self,
        noisy: torch.Tensor,
        sigmas: torch.Tensor,
        portrait_latents: torch.Tensor,
        image_tokens: torch.Tensor | None,
        motion_tokens: torch.Tensor | None,
        pose_images: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The UNet's v, (B, F, c, h, w). Tokens that are `None` are left out, as zeros would be.

        Args:
            noisy: (B, F, c, h, w).
            sigmas: (B,).
            portrait_latents: (B, c, h, w), unscaled.
            image_tokens: (B, S, C).
            motion_tokens: (B, F, M, C).
            pose_images: (B, F, 3, H, W) uint8, or `None` for black.
        """
        batch_size, num_frames = noisy.shape[:2]
        image_latents = portrait_latents[:, None].expand(-1, num_frames, -1, -1, -1)
        if pose_images is None:
            side = [length * self.pipe.vae_scale_factor for length in noisy.shape[-2:]]
            poses = noisy.new_zeros(1, 3, 1, *side)  # the pose picture of the released setting, in every frame
        else:
            poses = pose_images.transpose(1, 2).to(noisy) / 255  # (batch, 3, frames, H, W)
        return self.pipe.unet(
            torch.cat([scale_input(noisy, sigmas), image_latents], dim=2),
            time_of(sigmas),
            image_tokens,
            noisy.new_tensor(ADDED_IDS).expand(batch_size, -1),
            motion_hidden_states=motion_tokens,
            pose_features=self.pipe.pose_guider(poses).sample.transpose(1, 2),
            return_dict=False,
        )[0]

    def encode_pictures(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled latents of the frames (B, F, c, h, w), and the unscaled ones of the portrait (B, c, h, w)."""
        scaling = self.pipe.vae.config.scaling_factor
        if "latents" in batch:
            return batch["latents"], batch["portrait_latents"] / scaling
        pictures = torch.cat([batch["portrait"][:, None], batch["frames"]], dim=1)
        modes = self._encode_latents(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        return modes[:, 1:] * scaling, modes[:, 0]

    def encode_image(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Image tokens, (B, S, C)."""
        return self.pipe.im_adapter(
            batch["dino_image"], self._encode_identity(batch["arcface_image"])
        ).image_tokens

    def encode_motion(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Motion tokens, (B, F, M, C), faded where an example says so; in float32, as inference makes them."""
        with torch.autocast(batch["token_scale"].device.type, enabled=False):
            expression, rotation = self._encode_driving(batch)
            batch_size, num_frames = expression.shape[:2]
            levels = [batch[name].repeat_interleave(num_frames) for name in ("head_level", "expression_level")]
            numbers = expression.flatten(0, 1), rotation.flatten(0, 1)
            tokens = self.pipe.motion_extractor.refine(*numbers, *levels)  # (batch · frames, tokens, channels)
            tokens = tokens.unflatten(0, (batch_size, num_frames))
        return tokens * batch["token_scale"][..., None, None]

    @torch.no_grad()
    def _encode_driving(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Expression (B, F, E) and rotation (B, F, 3) in degrees, by the frozen encoders or from the batch."""
        if "expression" in batch:
            return batch["expression"], batch["rotation"]
        extractor, shape = self.pipe.motion_extractor, batch["face_crops"].shape[:2]
        seen = extractor(batch["face_crops"].flatten(0, 1), batch["pose_crops"].flatten(0, 1))
        return seen.expression.unflatten(0, shape), seen.rotation.unflatten(0, shape)

    @torch.no_grad()
    def _encode_identity(self, arcface_images: torch.Tensor) -> torch.Tensor:
        """ID vectors of unit norm, (B, id_dim); zeros where the model has no ID encoder."""
        encoder = self.pipe.id_encoder
        if encoder is not None:
            vectors = encoder(arcface_images.to(encoder.dtype))
            vectors = vectors[0] if isinstance(vectors, (tuple, BaseOutput)) else vectors
            return normalize(vectors.float())
        if self._onnx_encoder is not None:
            pictures = arcface_images.permute(0, 2, 3, 1).cpu().numpy()
            return torch.cat([self._onnx_encoder(picture) for picture in pictures]).to(arcface_images)
        return arcface_images.new_zeros(len(arcface_images), self.pipe.im_adapter.config.id_dim)

    @torch.no_grad()
    def _encode_latents(self, pictures: torch.Tensor) -> torch.Tensor:
        """uint8 pictures (N, 3, H, W) to unscaled latents (N, c, h, w), in float32 as inference encodes."""
        with torch.autocast(pictures.device.type, enabled=False), Float32Weights():
            parts = [
                self.pipe.vae.encode(part.float() / 127.5 - 1).latent_dist.mode()
                for part in pictures.split(ENCODED_AT_ONCE)
            ]
        return torch.cat(parts)
