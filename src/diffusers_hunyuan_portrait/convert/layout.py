"""Where each weight of our networks is found in the published files."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import interpolate

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reader:
    """How a published tensor becomes one of ours: the shape it must have there, and the change."""

    published_shape: Callable[[Shape], Shape]
    read: Callable[[torch.Tensor, Shape], torch.Tensor]


def _third(index: int) -> Reader:
    """One of query, key and value, which DINOv2's own layout stacks in one tensor."""
    return Reader(
        lambda shape: (3 * shape[0], *shape[1:]),
        lambda tensor, shape: tensor.chunk(3)[index],
    )


STORED_SIDE = 37  # DINOv2 was published for 518-pixel images of 14-pixel patches


def _bake_positions(tensor: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Positions of the stored 37×37 grid interpolated to the grid of our image size.

    The released weights were trained with bicubic interpolation, not antialiased, by the scale factor
    (side + 0.1) / 37; asking for the size instead gives other numbers (contract, "Appearance").
    """
    side = math.isqrt(shape[1] - 1)
    patches = tensor[:, 1:].float().unflatten(1, (STORED_SIDE, STORED_SIDE))  # (1, rows, columns, channels)
    patches = interpolate(patches.permute(0, 3, 1, 2), scale_factor=(side + 0.1) / STORED_SIDE, mode="bicubic")
    return torch.cat([tensor[:, :1].float(), patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


AS_IT_IS = Reader(lambda shape: shape, lambda tensor, shape: tensor)
POSITIONS = Reader(lambda shape: (shape[0], STORED_SIDE**2 + 1, shape[2]), _bake_positions)


@dataclass(frozen=True)
class Source:
    """One published tensor: its file, its key there, and how it is read."""

    file: str
    key: str
    reader: Reader = AS_IT_IS


# A rule: a pattern of our keys, the published key (its {0}, {1} … are the pattern's groups; {0:next} counts from 1
# where ours counts from 0), and how it is read.
Rule = tuple[str, str, Reader]


class _Group(str):
    """A matched group that can also be written one higher."""

    def __format__(self, spec: str) -> str:
        return str(int(self) + 1) if spec == "next" else str(self)


def _rename(key: str, rules: list[Rule]) -> tuple[str, Reader]:
    for pattern, template, reader in rules:
        match = re.fullmatch(pattern, key)
        if match:
            return template.format(*map(_Group, match.groups())), reader
    raise KeyError(key)


def _resnet_rules(prefix: str, norm: str, shortcut: str) -> list[Rule]:
    return [
        (r"stem\.0\.(\w+)", prefix + ".conv1.{0}", AS_IT_IS),
        (r"stem\.1\.(\w+)", prefix + f".{norm}1." + "{0}", AS_IT_IS),
        (
            r"stages\.(\d)\.(\d)\.convs\.(\d)\.0\.(\w+)",
            prefix + ".layer{0:next}.{1}.conv{2:next}.{3}",
            AS_IT_IS,
        ),
        (
            r"stages\.(\d)\.(\d)\.convs\.(\d)\.1\.(\w+)",
            prefix + ".layer{0:next}.{1}." + norm + "{2:next}.{3}",
            AS_IT_IS,
        ),
        (
            r"stages\.(\d)\.(\d)\.shortcut\.(\d)\.(\w+)",
            prefix + ".layer{0:next}.{1}." + shortcut + ".{2}.{3}",
            AS_IT_IS,
        ),
        (r"head\.(\w+)", prefix + ".fc.{0}", AS_IT_IS),
    ]


def _attention_rules(ours: str, published: str) -> list[Rule]:
    """PyTorch's multi-head attention, which stacks its projections, to diffusers' attention, which does not."""
    return [
        *(
            (rf"{ours}\.to_{name}\.(\w+)", published + ".in_proj_{1}", _third(index))
            for index, name in enumerate("qkv")
        ),
        (rf"{ours}\.to_out\.0\.(\w+)", published + ".out_proj.{1}", AS_IT_IS),
    ]


_REFINER_RULES: list[Rule] = [
    (r"head_level_embedding\.weight", "position_head.weight", AS_IT_IS),
    (r"expression_level_embedding\.weight", "position_exp.weight", AS_IT_IS),
    (r"memory_bank", "connector.latents", AS_IT_IS),
    (r"intensity_proj\.(\w+)", "connector.intensity_aware_linear.{0}", AS_IT_IS),
    (r"proj_in\.(\w+)", "connector.proj_in.{0}", AS_IT_IS),
    (r"proj_out\.(\w+)", "connector.proj_out.0.{0}", AS_IT_IS),
    (r"norm_out\.(\w+)", "connector.proj_out.1.{0}", AS_IT_IS),
    *_attention_rules(r"blocks\.(\d+)\.attention", "connector.perceiver_blocks.{0}.attn"),
    *(
        (rf"blocks\.(\d+)\.{ours}\.(.+)", "connector.perceiver_blocks.{0}." + published + ".{1}", AS_IT_IS)
        for ours, published in {
            "ff_in": "mlp.c_fc",
            "ff_out": "mlp.c_proj",
            "norm_memory": "ln_1",
            "norm_tokens": "ln_2",
            "norm_ff": "ln_ff",
        }.items()
    ),
]

_BACKBONE_RULES: list[Rule] = [
    (r"embeddings\.(cls_token|mask_token|register_tokens)", "{0}", AS_IT_IS),
    (r"embeddings\.position_embeddings", "pos_embed", POSITIONS),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", "patch_embed.proj.{0}", AS_IT_IS),
    (r"layernorm\.(\w+)", "norm.{0}", AS_IT_IS),
    *(
        (rf"encoder\.layer\.(\d+)\.attention\.{ours}\.(\w+)", "blocks.{0}.attn.qkv.{1}", _third(index))
        for index, ours in enumerate(["q_proj", "k_proj", "v_proj"])
    ),
    (r"encoder\.layer\.(\d+)\.attention\.o_proj\.(\w+)", "blocks.{0}.attn.proj.{1}", AS_IT_IS),
    (r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", "blocks.{0}.ls{1}.gamma", AS_IT_IS),
    (r"encoder\.layer\.(\d+)\.(norm[12]|mlp\.fc[12])\.(\w+)", "blocks.{0}.{1}.{2}", AS_IT_IS),
]

_ADAPTER_RULES: list[Rule] = [
    (r"(\d+)\.down_proj\.(\w+)", "blocks.{0}.adapter.D_fc1.{1}", AS_IT_IS),
    (r"(\d+)\.up_proj\.(\w+)", "blocks.{0}.adapter.D_fc2.{1}", AS_IT_IS),
    (r"(\d+)\.branch_1x1\.conv\.(\w+)", "blocks.{0}.adapter.branch1.conv.{1}", AS_IT_IS),
    (r"(\d+)\.branch_1x1\.norm\.(\w+)", "blocks.{0}.adapter.branch1.bn.{1}", AS_IT_IS),
    (r"(\d+)\.branch_3x3\.(\d)\.conv\.(\w+)", "blocks.{0}.adapter.branch2.{1}.conv.{2}", AS_IT_IS),
    (r"(\d+)\.branch_3x3\.(\d)\.norm\.(\w+)", "blocks.{0}.adapter.branch2.{1}.bn.{2}", AS_IT_IS),
    (r"(\d+)\.branch_5x5\.(\d)\.conv\.(\w+)", "blocks.{0}.adapter.branch3.{1}.conv.{2}", AS_IT_IS),
    (r"(\d+)\.branch_5x5\.(\d)\.norm\.(\w+)", "blocks.{0}.adapter.branch3.{1}.bn.{2}", AS_IT_IS),
    *_attention_rules(r"(\d+)\.cross_attention\.attention", "blocks.{0}.adapter.cross_attn.multihead_attn"),
    (r"(\d+)\.cross_attention\.(\w+_proj)\.(\w+)", "blocks.{0}.adapter.cross_attn.{1}.{2}", AS_IT_IS),
]

_UNET_RULES: list[Rule] = [
    (r"(.+\.attn2)\.to_([kv])_motion\.weight", "{0}.processor.to_{1}_ip.0.weight", AS_IT_IS),
    (r"(.+)", "{0}", AS_IT_IS),
]

PUBLISHED_FILES = (
    "unet.pth",
    "dino.pth",
    "image_proj.pth",
    "motion_proj.pth",
    "expression.pth",
    "headpose.pth",
    "pose_guider.pth",
)
VAE_FILE = "vae"  # stands for SVD's, which is published under two names

_SAME_KEYS: list[Rule] = [(r"(.+)", "{0}", AS_IT_IS)]

# Each component's parts: the beginning of our keys, the published file, and the rules for the rest of the key.
LAYOUT: dict[str, list[tuple[str, str, list[Rule]]]] = {
    "motion_extractor": [
        (
            "expression_encoder.",
            "expression.pth",
            _resnet_rules("resnet50", norm="gn", shortcut="downsample"),
        ),
        (
            "head_pose_encoder.",
            "headpose.pth",
            _resnet_rules("head_pose_net", norm="bn", shortcut="shortcut"),
        ),
        ("refiner.", "motion_proj.pth", _REFINER_RULES),
    ],
    "im_adapter": [
        ("backbone.", "dino.pth", _BACKBONE_RULES),
        ("adapters.", "dino.pth", _ADAPTER_RULES),
        ("image_proj.", "image_proj.pth", _SAME_KEYS),
    ],
    "pose_guider": [("", "pose_guider.pth", _SAME_KEYS)],
    "unet": [("", "unet.pth", _UNET_RULES)],
    "vae": [("", VAE_FILE, _SAME_KEYS)],
}


def find_source(component: str, key: str) -> Source:
    """Where the weight `key` of our `component` is published.

    Raises:
        KeyError: our networks have a weight that no rule is for.
    """
    for prefix, file, rules in LAYOUT[component]:
        if key.startswith(prefix):
            return Source(file, *_rename(key.removeprefix(prefix), rules))
    raise KeyError(f"{component}.{key}")
