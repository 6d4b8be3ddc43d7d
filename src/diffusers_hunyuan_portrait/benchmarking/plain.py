"""The published program's arithmetic: the pipeline with its exact savings taken back, to measure them against."""

import copy
from collections.abc import Collection, Sequence
from typing import Any

import torch

from ..errors import UserError
from ..models.attention import PortraitAttnProcessor, Tokens
from ..pipeline import Branch, HunyuanPortraitPipeline
from ..sampling import BranchWeights, Window

# What costs nothing in the result (contract), each by a name.
SAVINGS = {
    "branches": "only the branches of guidance that have a weight are run",
    "zero tokens": "no attention over tokens that are zero",
    "projections": "keys and values over time formed once a clip, not at every pixel",
    "black pose": "the features of a black pose picture made once a run",
    "padding": "padded frames decoded only where a chunk has others",
}


class PlainPipeline(HunyuanPortraitPipeline):
    """Makes the same pictures with more work; made by `make_plain`."""

    kept: frozenset[str] = frozenset(SAVINGS)

    def _branches_needed(self, weights: BranchWeights) -> list[str]:
        return super()._branches_needed(weights) if "branches" in self.kept else list(BranchWeights._fields)

    def _branches(self, names: Sequence[str], weights: BranchWeights, inputs: Any, window: Window) -> list[Branch]:
        branches = super()._branches(names, weights, inputs, window)
        if "zero tokens" in self.kept:
            return branches
        no_image = torch.zeros_like(inputs.image_tokens)
        no_motion = torch.zeros_like(self._pick(inputs.conditions.motion_tokens, window))
        return [
            branch._replace(
                image_tokens=no_image if branch.image_tokens is None else branch.image_tokens,
                motion_tokens=no_motion if branch.motion_tokens is None else branch.motion_tokens,
            )
            for branch in branches
        ]

    def _encode_black_pose(self, conditions: Any) -> torch.Tensor | None:
        return super()._encode_black_pose(conditions) if "black pose" in self.kept else None

    def _encode_pose(self, conditions: Any, window: Window) -> torch.Tensor:
        if conditions.pose_images is not None:
            return super()._encode_pose(conditions, window)
        return self._guide(torch.zeros(1, 3, window.size, *conditions.portrait.shape[-2:]))

    def _chunk_starts(self, num_frames: int, pad_frames: int, size: int) -> list[int]:
        return super()._chunk_starts(num_frames, pad_frames if "padding" in self.kept else 0, size)


class PlainAttnProcessor(PortraitAttnProcessor):
    """Repeats tokens for every row of queries before it projects them."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: Tokens | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if encoder_hidden_states is not None:
            rows = len(hidden_states)
            encoder_hidden_states = encoder_hidden_states._replace(
                **{
                    name: tokens.repeat_interleave(rows // len(tokens), dim=0)
                    for name in ("image", "motion")
                    if (tokens := getattr(encoder_hidden_states, name)) is not None
                }
            )
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def make_plain(pipe: HunyuanPortraitPipeline, keep: Collection[str] = ()) -> PlainPipeline:
    """A pipeline of the same networks without the savings, but those named.

    The UNet is shared, so `projections` holds for `pipe` too until `pipe.unet.set_default_attn_processor()`.

    Raises:
        UserError: there is no such saving.
    """
    unknown = set(keep) - SAVINGS.keys()
    if unknown:
        raise UserError(f"There is no saving {', '.join(sorted(unknown))}; there is {', '.join(SAVINGS)}.")
    plain = copy.copy(pipe)  # with the hooks that offload its networks
    plain.__class__ = PlainPipeline
    plain.kept = frozenset(keep)
    pipe.unet.set_attn_processor(PortraitAttnProcessor() if "projections" in keep else PlainAttnProcessor())
    return plain
