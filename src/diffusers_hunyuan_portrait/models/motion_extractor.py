"""Face crops to motion tokens: expression, head pose, and their refinement by intensity and a memory bank."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention
from diffusers.utils import BaseOutput, is_accelerate_available
from torch import nn
from torch.nn.functional import layer_norm, relu, silu

LEVEL_DEVIATION = 0.02  # of the levels' embeddings, in new weights
INTENSITY_LEVELS = 128  # of head motion and of expression each; the paper speaks of 64


def _normalised_conv(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(groups, out_channels, eps=1e-5),
    )


class ResidualBlock(nn.Module):
    """A ResNet block: two 3×3 convolutions, or a bottleneck of 1×1, 3×3 (with the stride) and 1×1."""

    def __init__(self, in_channels: int, width: int, stride: int, groups: int, bottleneck: bool):
        super().__init__()
        out_channels = width * 4 if bottleneck else width
        if bottleneck:
            shapes = [(in_channels, width, 1, 1), (width, width, 3, stride), (width, out_channels, 1, 1)]
        else:
            shapes = [(in_channels, width, 3, stride), (width, out_channels, 3, 1)]
        self.convs = nn.ModuleList(_normalised_conv(*shape, groups) for shape in shapes)
        self.shortcut = (
            _normalised_conv(in_channels, out_channels, 1, stride, groups)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        residual = hidden_states if self.shortcut is None else self.shortcut(hidden_states)
        for conv in self.convs[:-1]:
            hidden_states = relu(conv(hidden_states))
        return relu(self.convs[-1](hidden_states) + residual)


class GroupNormResNet(nn.Module):
    """A ResNet with group normalisation; (B, 3, H, W) to (B, out_features)."""

    def __init__(self, depths: tuple[int, ...], width: int, groups: int, bottleneck: bool, out_features: int):
        super().__init__()
        self.stem = _normalised_conv(3, width, 7, 2, groups)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        channels, self.stages = width, nn.Sequential()
        for stage, depth in enumerate(depths):
            stage_width, blocks = width * 2**stage, []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(ResidualBlock(channels, stage_width, stride, groups, bottleneck))
                channels = stage_width * 4 if bottleneck else stage_width
            self.stages.append(nn.Sequential(*blocks))
        self.head = nn.Linear(channels, out_features)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.stages(self.pool(relu(self.stem(pixels))))
        return self.head(features.mean((2, 3)))


class AdaptiveLayerNorm(nn.Module):
    """LayerNorm without weights of its own, shifted and scaled by a condition."""

    def __init__(self, width: int, condition_dim: int):
        super().__init__()
        self.linear = nn.Linear(condition_dim, 2 * width)

    def forward(self, hidden_states: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        shift, scale = self.linear(silu(condition)).chunk(2, dim=-1)  # shift first in the released weights
        return layer_norm(hidden_states, hidden_states.shape[-1:], eps=1e-6) * (1 + scale) + shift


class RefinerBlock(nn.Module):
    """The memories look at themselves and at the expression, then pass a feed-forward with squared relu."""

    def __init__(self, width: int, num_heads: int, condition_dim: int):
        super().__init__()
        self.norm_memory = AdaptiveLayerNorm(width, condition_dim)
        self.norm_tokens = AdaptiveLayerNorm(width, condition_dim)
        self.norm_ff = AdaptiveLayerNorm(width, condition_dim)
        self.attention = Attention(width, heads=num_heads, dim_head=width // num_heads, bias=True)
        self.ff_in = nn.Linear(width, 4 * width)
        self.ff_out = nn.Linear(4 * width, width)

    def forward(self, memory: torch.Tensor, tokens: torch.Tensor, intensity: torch.Tensor) -> torch.Tensor:
        query = self.norm_memory(memory, intensity)
        context = torch.cat([query, self.norm_tokens(tokens, intensity)], dim=1)
        memory = memory + self.attention(query, context)
        return memory + self.ff_out(relu(self.ff_in(self.norm_ff(memory, intensity))).square())


class IntensityAwareRefiner(nn.Module):
    """Refines an expression by the motion's intensity and a bank of learnt memories (contract, "Motion")."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        num_memories: int,
        intensity_embed_dim: int,
        width: int,
        num_blocks: int,
        num_heads: int,
        use_memory_bank: bool,
        use_intensity: bool,
    ):
        super().__init__()
        self.num_memories, self.use_intensity = num_memories, use_intensity
        self.head_level_embedding = nn.Embedding(INTENSITY_LEVELS, intensity_embed_dim)
        self.expression_level_embedding = nn.Embedding(INTENSITY_LEVELS, intensity_embed_dim)
        memories = torch.randn(num_memories, width) * width**-0.5
        self.memory_bank = nn.Parameter(memories) if use_memory_bank else None
        self.intensity_proj = nn.Linear(intensity_embed_dim, width)
        self.proj_in = nn.Linear(input_dim, width)
        self.blocks = nn.ModuleList(RefinerBlock(width, num_heads, intensity_embed_dim) for _ in range(num_blocks))
        self.proj_out = nn.Linear(width, output_dim)
        self.norm_out = nn.LayerNorm(output_dim)
        # New weights are to begin with memories that differ: beside levels as large as torch makes embeddings,
        # all tokens would be nearly one, and hardly change with the expression.
        with torch.no_grad():
            self.intensity_proj.bias.zero_()
            for embedding in (self.head_level_embedding, self.expression_level_embedding):
                embedding.weight *= LEVEL_DEVIATION

    def forward(
        self, expression: torch.Tensor, head_level: torch.Tensor, expression_level: torch.Tensor
    ) -> torch.Tensor:
        """(F, input_dim) and levels (F,) or () to (F, num_memories, output_dim)."""
        if not self.use_intensity:
            head_level, expression_level = torch.zeros_like(head_level), torch.zeros_like(expression_level)
        intensity = self.head_level_embedding(head_level) + self.expression_level_embedding(expression_level)
        intensity = intensity.reshape(-1, 1, intensity.shape[-1])  # (frames or 1, 1, channels)
        memory = self.intensity_proj(silu(intensity))
        if self.memory_bank is not None:
            memory = self.memory_bank + memory
        memory = memory.expand(expression.shape[0], self.num_memories, -1)  # (frames, memories, width)
        tokens = self.proj_in(expression)[:, None]
        for block in self.blocks:
            memory = block(memory, tokens, intensity)
        return self.norm_out(self.proj_out(memory))


@dataclass
class MotionExtractorOutput(BaseOutput):
    """What the motion extractor sees in F frames.

    `motion_tokens` (F, N, C); `expression` (F, E); `rotation` (F, 3) in degrees, -180 to 180; `translation`
    (F, 3), -2 to 2. What was not asked for is `None`.
    """

    # Defaults, so that offload hooks can rebuild the output from its fields.
    motion_tokens: torch.Tensor | None = None
    expression: torch.Tensor | None = None
    rotation: torch.Tensor | None = None
    translation: torch.Tensor | None = None


class MotionExtractor(ModelMixin, ConfigMixin):
    """Expression encoder (ResNet-50), head-pose encoder (ResNet-18) and the intensity-aware refiner.

    Contract, "Motion". It stays in float32 whatever the other networks run in, as the released weights were used.

    Args:
        image_size: side of the square crops.
        expression_depths, expression_width, expression_dim: blocks a stage and first width of the expression
            encoder, and the numbers it describes an expression with.
        head_pose_depths, head_pose_width: the same of the head-pose encoder.
        head_pose_groups: groups of its normalisation; the expression encoder has one.
        num_memories: entries of the memory bank, and so motion tokens a frame.
        width, num_blocks, num_heads, intensity_embed_dim: sizes of the refiner.
        refined_dim: channels that the refiner gives; motion tokens have six more, for the head pose.
        use_memory_bank: off, all tokens begin alike, without memories (paper, Table 2).
        use_intensity: off, both levels count as 0 (paper, Table 2).
    """

    _skip_layerwise_casting_patterns = ["expression_encoder", "head_pose_encoder", "refiner"]  # noqa: RUF012
    # Without accelerate diffusers refuses to load what it is to keep in float32.
    _keep_in_fp32_modules = _skip_layerwise_casting_patterns if is_accelerate_available() else None

    @register_to_config
    def __init__(
        self,
        image_size: int = 256,
        expression_depths: tuple[int, ...] = (3, 4, 6, 3),
        expression_width: int = 64,
        expression_dim: int = 512,
        head_pose_depths: tuple[int, ...] = (2, 2, 2, 2),
        head_pose_width: int = 64,
        head_pose_groups: int = 32,
        num_memories: int = 64,
        width: int = 768,
        num_blocks: int = 6,
        num_heads: int = 8,
        intensity_embed_dim: int = 768,
        refined_dim: int = 1018,
        use_memory_bank: bool = True,
        use_intensity: bool = True,
    ):
        super().__init__()
        self.expression_encoder = GroupNormResNet(expression_depths, expression_width, 1, True, expression_dim)
        self.head_pose_encoder = GroupNormResNet(head_pose_depths, head_pose_width, head_pose_groups, False, 6)
        self.refiner = IntensityAwareRefiner(
            expression_dim,
            refined_dim,
            num_memories,
            intensity_embed_dim,
            width,
            num_blocks,
            num_heads,
            use_memory_bank,
            use_intensity,
        )

    @classmethod
    def from_pretrained(
        cls,
        *args: Any,
        low_cpu_mem_usage: bool | None = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As diffusers does, in float32; `low_cpu_mem_usage`, `dtype` and `torch_dtype` make no difference.

        diffusers keeps weights in float32 only where the first is on, and would refuse a whole pipeline for the
        sake of this network where it is off.
        """
        return super().from_pretrained(*args, **kwargs)  # float32 where no type is asked for

    def to(self, *args, **kwargs):
        """Moves the network; a change of its floating-point type is left out (see the class)."""
        device, _, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        moved = {"device": device, "memory_format": memory_format}
        moved = {name: value for name, value in moved.items() if value is not None}
        return super().to(**moved, non_blocking=non_blocking) if moved else self

    def forward(
        self,
        face_crops: torch.Tensor | None = None,
        pose_crops: torch.Tensor | None = None,
        head_level: torch.Tensor | int | None = None,
        expression_level: torch.Tensor | int | None = None,
        return_dict: bool = True,
        *,
        expression: torch.Tensor | None = None,
        rotation: torch.Tensor | None = None,
    ) -> MotionExtractorOutput | tuple[torch.Tensor, ...]:
        """Motion tokens of F frames; or the numbers that describe their motion alone, or tokens of such numbers.

        Args:
            face_crops, pose_crops: (F, 3, image_size, image_size) in [0, 1].
            head_level, expression_level: intensities, 0 to 127, of the chunk or of each frame (F,); without them
                there are no motion tokens.
            return_dict: `False` gives a plain tuple.
            expression, rotation: (F, E) and (F, 3), as they were given for crops before, instead of the crops.
        """
        translation = None
        if expression is None or rotation is None:
            if face_crops is None or pose_crops is None:
                raise ValueError("Give `face_crops` and `pose_crops`, or `expression` and `rotation`.")
            expression = self.expression_encoder(face_crops)
            rotation, translation = self.read_pose(pose_crops)
        motion_tokens = None
        if head_level is not None and expression_level is not None:
            motion_tokens = self.refine(expression, rotation, head_level, expression_level)
        output = MotionExtractorOutput(motion_tokens, expression, rotation, translation)
        return output if return_dict else output.to_tuple()

    def read_pose(self, pose_crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(F, 3, image_size, image_size) in [0, 1] to rotations in degrees and translations, (F, 3) each."""
        # Trained on 2·x + 1 of a picture in [0, 1], where 2·x − 1 would be expected.
        head_pose = self.head_pose_encoder(2 * pose_crops + 1).sigmoid()
        return 360 * head_pose[:, :3] - 180, 4 * head_pose[:, 3:] - 2

    def refine(
        self,
        expression: torch.Tensor,
        rotation: torch.Tensor,
        head_level: torch.Tensor | int,
        expression_level: torch.Tensor | int,
    ) -> torch.Tensor:
        """Motion tokens, (F, N, C), of expressions (F, E), rotations (F, 3), and levels as `forward` has them."""
        head_level = torch.as_tensor(head_level, device=expression.device)
        expression_level = torch.as_tensor(expression_level, device=expression.device)
        refined = self.refiner(expression, head_level, expression_level)
        # The released weights were trained with zeros in place of the translations.
        pose = torch.cat([rotation, torch.zeros_like(rotation)], dim=1)
        pose = pose[:, None].expand(-1, refined.shape[1], -1)
        return torch.cat([refined, pose], dim=2)
