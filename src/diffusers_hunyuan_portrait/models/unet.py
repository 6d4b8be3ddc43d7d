"""The denoising network: Stable Video Diffusion's UNet with motion attention and pose features."""

import functools
from typing import Any

import torch

# Looks unused, but the loader searches this namespace for it where a pipeline names the module, not the package.
from diffusers import ModelMixin  # noqa: F401
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.unets.unet_spatio_temporal_condition import (
    UNetSpatioTemporalConditionModel,
    UNetSpatioTemporalConditionOutput,
)
from torch import nn

from ..errors import UserError
from .attention import PortraitAttnProcessor, PortraitContext, PortraitTransformer

# Sizes of blocks times branches of guidance, in a few sizes of pictures and windows.
RECOMPILE_LIMIT = 128


class HunyuanPortraitUNet(UNetSpatioTemporalConditionModel, PeftAdapterMixin):
    """Predicts v for a window of noisy latents, from image tokens, motion tokens and pose features.

    Its config is that of diffusers' `UNetSpatioTemporalConditionModel`, whose blocks it is made of; every
    cross-attention has a second pair of projections for the motion tokens (`PortraitCrossAttention`; contract,
    "UNet").
    """

    _supports_gradient_checkpointing = True
    _repeated_blocks = ["BasicTransformerBlock", "TemporalBasicTransformerBlock", "SpatioTemporalResBlock"]  # noqa: RUF012

    # The config is read from the signature.
    @functools.wraps(UNetSpatioTemporalConditionModel.__init__)  # type: ignore[misc]
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for block in [*self.down_blocks, self.mid_block, *self.up_blocks]:
            if getattr(block, "has_cross_attention", False):
                block.attentions = nn.ModuleList(map(PortraitTransformer.in_place_of, block.attentions))

    def set_attn_processor(self, processor: Any) -> None:
        """Sets one processor on every attention, or of a dict each by its name in `attn_processors`.

        Raises:
            UserError: one cannot do cross-attention here (see `PortraitCrossAttention`); then none is set.
        """
        previous = self.attn_processors
        try:
            super().set_attn_processor(processor)
        except Exception:
            super().set_attn_processor(previous)
            raise

    def set_default_attn_processor(self) -> None:
        """Sets the processor that this network is made with on every attention."""
        self.set_attn_processor(PortraitAttnProcessor())

    def compile_repeated_blocks(self, *args: Any, **kwargs: Any) -> None:
        """Compiles the network's blocks as diffusers does, each kind once.

        A kind is a class, its widths, and the tokens that a branch of guidance attends to. At the published sizes
        there are more than dynamo compiles of one class by default: it then fails with `fullgraph=True`, and
        without leaves the blocks as they are. So its limit is raised.
        """
        from torch._dynamo import config

        config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
        super().compile_repeated_blocks(*args, **kwargs)

    # A pipeline reads from the signature what it may hand on: the variant, the size of pieces.
    @functools.wraps(UNetSpatioTemporalConditionModel.save_pretrained)
    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Saves as diffusers does.

        Raises:
            UserError: there are LoRA adapters, under which weights have names that a new network would not find.
        """
        if any(hasattr(module, "base_layer") for module in self.modules()):
            raise UserError(
                "The UNet cannot be saved with LoRA adapters in it; call `unload_lora_weights` first (and before "
                "that `fuse_lora`, to keep what they do)."
            )
        super().save_pretrained(*args, **kwargs)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | None,
        added_time_ids: torch.Tensor,
        motion_hidden_states: torch.Tensor | None = None,
        pose_features: torch.Tensor | None = None,
        deep_features: torch.Tensor | None = None,
        return_deep_features: bool = False,
        motion_scale: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> UNetSpatioTemporalConditionOutput | tuple[torch.Tensor, ...]:
        """One prediction.

        Args:
            sample: (B, F, 8, h, w), noisy latents before image latents on the channel axis.
            timestep: ¼ · ln σ, one number or one for each of the batch.
            encoder_hidden_states: image tokens, (B, S, C) or (B, F, S, C); `None` leaves that attention out,
                which is what zero tokens would give.
            added_time_ids: (B, 3): frames a second, motion bucket, noise augmentation.
            motion_hidden_states: motion tokens, (B, F, M, C); `None` leaves that attention out.
            pose_features: (B, F, C0, h, w), or with axes of length 1 that broadcast; added after `conv_in`.
            deep_features: (B, F, C, h, w), what an earlier call returned as such: then only the outermost blocks
                are run, on what the inner ones gave at another noise level. An approximation.
            return_deep_features: also return them, as the last of the tuple; needs `return_dict=False`.
            motion_scale: one number, what each attention to the motion tokens is multiplied by; `None` as 1.
            return_dict: `False` gives a plain tuple.

        Returns:
            v-prediction of shape (B, F, 4, h, w), as `.sample`.
        """
        batch_size, num_frames = sample.shape[:2]
        emb = self._embed_time(timestep, added_time_ids, sample)
        emb = emb.repeat_interleave(num_frames, dim=0, output_size=batch_size * num_frames)
        context = PortraitContext.from_tokens(encoder_hidden_states, motion_hidden_states, motion_scale)
        image_only_indicator = torch.zeros(batch_size, num_frames, dtype=sample.dtype, device=sample.device)

        def through(block, hidden_states, **kwargs):
            if getattr(block, "has_cross_attention", False):
                kwargs["encoder_hidden_states"] = context
            return block(
                hidden_states=hidden_states, temb=emb, image_only_indicator=image_only_indicator, **kwargs
            )

        hidden_states = self.conv_in(sample.flatten(0, 1))  # (batch · frames, channels, h, w)
        if pose_features is not None:
            hidden_states = (hidden_states.unflatten(0, (batch_size, num_frames)) + pose_features).flatten(0, 1)

        skips = [hidden_states]
        for down_block in self.down_blocks[:1] if deep_features is not None else self.down_blocks:
            hidden_states, block_skips = through(down_block, hidden_states)
            skips.extend(block_skips)

        def upwards(up_block, hidden_states):
            block_skips = skips[-len(up_block.resnets) :]
            del skips[-len(up_block.resnets) :]
            return through(
                up_block,
                hidden_states,
                res_hidden_states_tuple=tuple(block_skips),
                # Where sides are no multiple of all the halvings, each upsampling is told the size it must meet.
                upsample_size=skips[-1].shape[2:] if skips else None,
            )

        *inner, outermost = self.up_blocks
        if deep_features is None:
            hidden_states = through(self.mid_block, hidden_states)
            for up_block in inner:
                hidden_states = upwards(up_block, hidden_states)
        else:
            hidden_states = deep_features.flatten(0, 1)
            skips = skips[: len(outermost.resnets)]  # without that of the first halving
        deep = hidden_states
        hidden_states = upwards(outermost, hidden_states)

        hidden_states = self.conv_out(self.conv_act(self.conv_norm_out(hidden_states)))
        output = hidden_states.unflatten(0, (batch_size, num_frames))
        if return_deep_features:
            return output, deep.unflatten(0, (batch_size, num_frames))
        return UNetSpatioTemporalConditionOutput(sample=output) if return_dict else (output,)

    def _embed_time(self, timestep, added_time_ids: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """Noise level and added ids as one embedding, (B, 4 · C0)."""
        batch_size = sample.shape[0]
        if not torch.is_tensor(timestep):
            timestep = torch.tensor(timestep, dtype=torch.float32, device=sample.device)
        timestep = timestep.to(sample.device).expand(batch_size)
        emb = self.time_embedding(self.time_proj(timestep).to(sample.dtype))
        added = self.add_time_proj(added_time_ids.flatten()).reshape(batch_size, -1)
        return emb + self.add_embedding(added.to(sample.dtype))
