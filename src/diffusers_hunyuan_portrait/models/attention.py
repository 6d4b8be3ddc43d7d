"""Attention of the UNet: image and motion tokens under one query, in space and over the window's frames."""

from typing import Any, NamedTuple

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import (
    TransformerSpatioTemporalModel,
    TransformerTemporalModelOutput,
)
from torch import nn

from ..errors import UserError


class Tokens(NamedTuple):
    """What one cross-attention attends to. `None` leaves that part out, which is what zero tokens give:
    neither key nor value projection has a bias.

    The leading axis may be shorter than the query's; each of its entries then serves that many consecutive
    rows of queries, whose keys and values are formed once.
    """

    image: torch.Tensor | None  # (batch or batch · frames, tokens, channels)
    motion: torch.Tensor | None
    motion_scale: torch.Tensor | None = (
        None  # one number, what the motion's attention is multiplied by; 1 as `None`
    )


class PortraitContext(NamedTuple):
    """The tokens of a whole UNet call, as its blocks hand them down to every `PortraitTransformer`."""

    spatial: Tokens  # each frame's own tokens
    temporal: Tokens  # their means over the window's frames: (batch, tokens, channels)

    @classmethod
    def from_tokens(
        cls, image: torch.Tensor | None, motion: torch.Tensor | None, motion_scale: torch.Tensor | None = None
    ) -> "PortraitContext":
        """From image tokens (B, S, C), the same in all frames, or (B, F, S, C), and motion tokens (B, F, M, C).

        The released weights were trained with the mean over the frames as temporal context, where diffusers'
        Stable Video Diffusion takes the first frame's.
        """
        spatial_image, temporal_image = image, image
        if image is not None and image.ndim == 4:
            spatial_image, temporal_image = image.flatten(0, 1), image.mean(1)
        spatial_motion = temporal_motion = None
        if motion is not None:
            spatial_motion, temporal_motion = motion.flatten(0, 1), motion.mean(1)
        return cls(
            Tokens(spatial_image, spatial_motion, motion_scale),
            Tokens(temporal_image, temporal_motion, motion_scale),
        )


class PortraitAttnProcessor:
    """Self-attention, or cross-attention over `Tokens`; holds no state.

    In temporal cross-attention the pixels are folded into the query axis: all of a batch entry's pixels attend
    to the same mean tokens, so their keys and values are never repeated a pixel.
    """

    # Read by diffusers' `set_attention_backend`, which sets it on every processor of the model.
    _attention_backend: Any = None
    _parallel_config: Any = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: Tokens | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if encoder_hidden_states is None:
            keys_and_values = [(attn.to_k(hidden_states), attn.to_v(hidden_states))]
        else:
            image, motion, motion_scale = encoder_hidden_states
            keys_and_values = []
            if image is not None:
                keys_and_values.append((attn.to_k(image), attn.to_v(image)))
            if motion is not None:
                value = attn.to_v_motion(motion)
                if motion_scale is not None:  # on the values, of which there are fewer than results
                    value = motion_scale.to(value) * value
                keys_and_values.append((attn.to_k_motion(motion), value))
        if keys_and_values:
            query = attn.to_q(hidden_states)  # (rows, queries, channels)
            result = sum(self._attend(attn, query, key, value) for key, value in keys_and_values)
        else:
            result = hidden_states.new_zeros(1, 1, attn.inner_dim)  # the same for every query: left to broadcast
        return attn.to_out[1](attn.to_out[0](result))

    def _attend(self, attn: Attention, query, key, value) -> torch.Tensor:
        entries, head_dim = key.shape[0], key.shape[-1] // attn.heads
        attended = dispatch_attention_fn(
            query.reshape(entries, -1, attn.heads, head_dim),
            key.view(entries, -1, attn.heads, head_dim),
            value.view(entries, -1, attn.heads, head_dim),
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        return attended.reshape(query.shape)


class PortraitCrossAttention(Attention):
    """Cross-attention with a second pair of key and value projections, for the motion tokens."""

    def __init__(self, query_dim: int, cross_attention_dim: int, heads: int, dim_head: int):
        super().__init__(
            query_dim=query_dim,
            cross_attention_dim=cross_attention_dim,
            heads=heads,
            dim_head=dim_head,
            processor=PortraitAttnProcessor(),
        )
        self.to_k_motion = nn.Linear(cross_attention_dim, self.inner_kv_dim, bias=False)
        self.to_v_motion = nn.Linear(cross_attention_dim, self.inner_kv_dim, bias=False)

    def set_processor(self, processor: PortraitAttnProcessor) -> None:
        """Sets what computes the attention.

        Raises:
            UserError: it is a processor that does not know of two kinds of tokens, as all of diffusers' are.
        """
        if not isinstance(processor, PortraitAttnProcessor):
            raise UserError(
                f"{type(processor).__name__} cannot attend to image and motion tokens; choose another kernel by "
                "`set_attention_backend`, or set a `PortraitAttnProcessor`, or a subclass of it."
            )
        super().set_processor(processor)


class PortraitTransformer(TransformerSpatioTemporalModel):
    """diffusers' spatio-temporal transformer, attending to a `PortraitContext`."""

    def __init__(
        self,
        num_attention_heads: int,
        attention_head_dim: int,
        in_channels: int,
        num_layers: int,
        cross_attention_dim: int,
    ):
        super().__init__(
            num_attention_heads,
            attention_head_dim,
            in_channels,
            num_layers=num_layers,
            cross_attention_dim=cross_attention_dim,
        )
        for block in [*self.transformer_blocks, *self.temporal_transformer_blocks]:
            block.attn1.set_processor(PortraitAttnProcessor())
            block.attn2 = PortraitCrossAttention(
                self.inner_dim, cross_attention_dim, num_attention_heads, attention_head_dim
            )

    @classmethod
    def in_place_of(cls, other: TransformerSpatioTemporalModel) -> "PortraitTransformer":
        """One of the same sizes as `other`."""
        return cls(
            other.num_attention_heads,
            other.attention_head_dim,
            other.in_channels,
            len(other.transformer_blocks),
            other.transformer_blocks[0].attn2.cross_attention_dim,
        )

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: PortraitContext,
        image_only_indicator: torch.Tensor,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[torch.Tensor]:
        """`hidden_states` (B · F, C, h, w), `image_only_indicator` (B, F), all zeros; returns the same shape."""
        batch_size, num_frames = image_only_indicator.shape
        residual = hidden_states
        hidden_states = self.norm(hidden_states).permute(0, 2, 3, 1)  # (batch · frames, h, w, channels)
        grid = hidden_states.shape
        hidden_states = self.proj_in(hidden_states.flatten(1, 2))

        frame_index = torch.arange(num_frames, device=hidden_states.device).repeat(batch_size)
        frame_embedding = self.time_pos_embed(self.time_proj(frame_index).to(hidden_states.dtype))[:, None]

        for block, temporal_block in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden_states = self._gradient_checkpointing_func(
                    block, hidden_states, None, encoder_hidden_states.spatial, None
                )
                over_time = self._gradient_checkpointing_func(
                    temporal_block,
                    hidden_states + frame_embedding,
                    num_frames,
                    encoder_hidden_states.temporal,
                )
            else:
                hidden_states = block(hidden_states, encoder_hidden_states=encoder_hidden_states.spatial)
                over_time = temporal_block(
                    hidden_states + frame_embedding, num_frames, encoder_hidden_states.temporal
                )
            hidden_states = self.time_mixer(hidden_states, over_time, image_only_indicator)

        hidden_states = self.proj_out(hidden_states).reshape(grid).permute(0, 3, 1, 2)
        output = hidden_states.contiguous() + residual
        return TransformerTemporalModelOutput(sample=output) if return_dict else (output,)
