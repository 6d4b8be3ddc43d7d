"""LoRA weights for the tiny UNet, as training would leave them."""

import copy
from pathlib import Path

import peft
import torch
from peft.utils import get_peft_model_state_dict

import diffusers_hunyuan_portrait as hp

TARGETS = ("to_q", "to_k", "to_v", "to_k_motion", "to_v_motion", "to_out.0", "conv_in")
FILE = "pytorch_lora_weights.safetensors"


def adapt(unet: hp.HunyuanPortraitUNet, name: str, seed: int = 0, **settings) -> None:
    """Adds an adapter that acts, with an alpha that is not its rank, and ranks that differ."""
    settings = {"r": 2, "lora_alpha": 3, "target_modules": list(TARGETS), "rank_pattern": {"to_q": 4}, **settings}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet.add_adapter(peft.LoraConfig(**settings, init_lora_weights=False), name)


def trained(unet: hp.HunyuanPortraitUNet, seed: int = 0, **settings) -> tuple[dict[str, torch.Tensor], dict]:
    """The weights and the `LoraConfig` of an adapter of a copy of `unet`."""
    copied = copy.deepcopy(unet)
    adapt(copied, "trained", seed, **settings)
    weights = get_peft_model_state_dict(copied, adapter_name="trained")
    return weights, copied.peft_config["trained"].to_dict()


def write_lora(folder: Path, unet: hp.HunyuanPortraitUNet, seed: int = 0, **settings) -> Path:
    """Writes one as training does, and gives the folder."""
    weights, config = trained(unet, seed, **settings)
    hp.HunyuanPortraitPipeline.save_lora_weights(folder, weights, unet_lora_adapter_metadata=config)
    return folder
