"""Portrait and identity to image tokens: frozen DINOv2 with the ID-aware multi-scale adapters."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention
from diffusers.utils import BaseOutput
from torch import nn
from torch.nn.functional import relu, scaled_dot_product_attention
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel


class BackboneAttention(nn.Module):
    """Self-attention of one of the backbone's blocks.

    It stands in for transformers' own, whose weights have other names from version to version, and what it returns
    another form: a model converted with one version would not load with another.
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        projections = self.q_proj, self.k_proj, self.v_proj
        query, key, value = (
            projection(hidden_states).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projection in projections  # (batch, heads, tokens, head channels)
        )
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return self.o_proj(attended)


class ConvBranch(nn.Module):
    """One scale of the adapter: a convolution with batch normalisation and relu."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        return relu(self.norm(self.conv(feature_map)))


class IDCrossAttention(nn.Module):
    """Attention between the patches' features and the ID vector, and back to the adapter's width."""

    def __init__(self, dim: int, width: int, num_heads: int, id_dim: int):
        super().__init__()
        self.image_proj = nn.Linear(dim, width)
        self.id_proj = nn.Linear(id_dim, width)
        self.attention = Attention(width, heads=num_heads, dim_head=width // num_heads, bias=True)
        self.back_proj = nn.Linear(width, dim)

    def forward(self, id_embedding: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        """What every patch receives, (B, 1, dim).

        Args:
            id_embedding: (B, id_dim).
            features: (B, patches, dim), which the ID asks as a query (paper, equation 5). `None`: the released
                form, in which the patches ask, and the ID is the one key. Softmax is then 1 whatever the query:
                the result is the projected value, and neither patches nor branches can change it.
        """
        identity = self.id_proj(id_embedding)[:, None]  # (batch, 1, width)
        if features is None:
            attended = self.attention.to_out[0](self.attention.to_v(identity))
        else:
            attended = self.attention(identity, self.image_proj(features))
        return self.back_proj(attended)


class IDAdapter(nn.Module):
    """What an adapted block adds beside its MLP (paper, equation 5; contract, "Appearance").

    In the released form the branches and the query of the cross-attention cannot act on the output (see
    `IDCrossAttention`), and are not computed; their weights are kept, so that a checkpoint keeps all that it was
    published with. With `id_as_query` they act, as the paper has it.
    """

    def __init__(
        self,
        hidden_size: int,
        dim: int,
        attention_width: int,
        num_heads: int,
        id_dim: int,
        num_prefix: int,
        id_as_query: bool,
    ):
        super().__init__()
        self.num_prefix = num_prefix
        self.id_as_query = id_as_query
        self.down_proj = nn.Linear(hidden_size, dim)
        self.branch_1x1 = ConvBranch(dim, dim // 2, 1)
        self.branch_3x3 = nn.Sequential(ConvBranch(dim, dim // 16, 1), ConvBranch(dim // 16, dim // 4, 3))
        self.branch_5x5 = nn.Sequential(ConvBranch(dim, dim // 16, 1), ConvBranch(dim // 16, dim // 4, 5))
        self.cross_attention = IDCrossAttention(dim, attention_width, num_heads, id_dim)
        self.up_proj = nn.Linear(dim, hidden_size)

    def forward(self, hidden_states: torch.Tensor, id_embedding: torch.Tensor) -> torch.Tensor:
        down = relu(self.down_proj(hidden_states))  # (batch, class + registers + patches, dim)
        prefix, patches = down[:, : self.num_prefix], down[:, self.num_prefix :]
        features = self._see_scales(patches) if self.id_as_query else None
        # The published form puts the prefix beside the attention's result, then adds it all: it counts twice.
        mixed = torch.cat([prefix * 2, patches + self.cross_attention(id_embedding, features)], dim=1)
        return self.up_proj(mixed)

    def _see_scales(self, patches: torch.Tensor) -> torch.Tensor:
        """The branches' features side by side; (B, patches, dim) in and out, of a square of patches."""
        side = math.isqrt(patches.shape[1])
        feature_map = patches.transpose(1, 2).unflatten(2, (side, side))
        branches = self.branch_1x1, self.branch_3x3, self.branch_5x5
        return torch.cat([branch(feature_map) for branch in branches], dim=1).flatten(2).transpose(1, 2)


@dataclass
class IMAdapterOutput(BaseOutput):
    """`image_tokens` (B, S, C) for the UNet; `hidden_states` (B, T, C), all tokens after the final norm."""

    image_tokens: torch.Tensor
    hidden_states: torch.Tensor | None = None  # a default, so that offload hooks can rebuild the output


class IMAdapter(ModelMixin, ConfigMixin):
    """DINOv2 with registers as the frozen `backbone`, adapters in some of its blocks, and a token projection.

    Args:
        hidden_size, num_hidden_layers, num_attention_heads, mlp_ratio, patch_size, num_register_tokens,
        layer_norm_eps: of the backbone.
        image_size: side of the DINO image; the positions are stored for this size.
        adapter_layers: the blocks that have an adapter, counted from 0.
        adapter_dim, adapter_attention_dim, adapter_num_heads: sizes of an adapter.
        adapter_scale: what an adapter's output is multiplied by.
        id_dim: length of the ID vector.
        num_image_tokens: how many tokens the projection gives.
        id_as_query: have the ID ask the patches in the adapters, as the paper's equation 5 does; the released
            weights were trained the other way round.
    """

    @register_to_config
    def __init__(
        self,
        hidden_size: int = 1024,
        num_hidden_layers: int = 24,
        num_attention_heads: int = 16,
        mlp_ratio: int = 4,
        patch_size: int = 14,
        image_size: int = 224,
        num_register_tokens: int = 4,
        layer_norm_eps: float = 1e-6,
        adapter_layers: tuple[int, ...] = (3, 7, 11, 15, 19, 23),
        adapter_dim: int = 384,
        adapter_attention_dim: int = 256,
        adapter_num_heads: int = 8,
        adapter_scale: float = 0.2,
        id_dim: int = 512,
        num_image_tokens: int = 64,
        id_as_query: bool = False,
    ):
        super().__init__()
        self.backbone = Dinov2WithRegistersModel(
            Dinov2WithRegistersConfig(
                hidden_size=hidden_size,
                num_hidden_layers=num_hidden_layers,
                num_attention_heads=num_attention_heads,
                mlp_ratio=mlp_ratio,
                patch_size=patch_size,
                image_size=image_size,
                num_register_tokens=num_register_tokens,
                layer_norm_eps=layer_norm_eps,
            )
        )
        for layer in self.backbone.encoder.layer:
            layer.attention = BackboneAttention(hidden_size, num_attention_heads)
            layer.attention.apply(self.backbone._init_weights)  # as transformers' own
        self.backbone.requires_grad_(False)
        num_prefix = 1 + num_register_tokens
        self.adapters = nn.ModuleDict(
            {
                str(layer): IDAdapter(
                    hidden_size,
                    adapter_dim,
                    adapter_attention_dim,
                    adapter_num_heads,
                    id_dim,
                    num_prefix,
                    id_as_query,
                )
                for layer in adapter_layers
            }
        )
        num_tokens = num_prefix + (image_size // patch_size) ** 2
        self.image_proj = nn.Linear(num_tokens, num_image_tokens)

    def forward(
        self, dino_image: torch.Tensor, id_embedding: torch.Tensor, return_dict: bool = True
    ) -> IMAdapterOutput | tuple[torch.Tensor, torch.Tensor]:
        """Image tokens (B, num_image_tokens, hidden_size).

        Args:
            dino_image: (B, 3, image_size, image_size), normalised by ImageNet's mean and deviation.
            id_embedding: (B, id_dim), of unit norm or zeros.
            return_dict: `False` gives a plain tuple.
        """
        id_embedding = id_embedding.to(self.dtype)
        hidden_states = self.backbone.embeddings(dino_image.to(self.dtype))  # (batch, tokens, channels)
        blocks: Any = self.backbone.encoder.layer  # walked here, so that no hook is needed
        for index, layer in enumerate(blocks):
            attended = layer.attention(layer.norm1(hidden_states))
            hidden_states = hidden_states + layer.layer_scale1(attended)
            normed = layer.norm2(hidden_states)
            update = layer.mlp(normed)
            if str(index) in self.adapters:
                adapted = self.adapters[str(index)](normed, id_embedding)
                update = update + self.config.adapter_scale * adapted
            hidden_states = hidden_states + layer.layer_scale2(update)
        hidden_states = self.backbone.layernorm(hidden_states)
        image_tokens = self.image_proj(hidden_states.transpose(1, 2)).transpose(1, 2)
        return IMAdapterOutput(image_tokens, hidden_states) if return_dict else (image_tokens, hidden_states)
