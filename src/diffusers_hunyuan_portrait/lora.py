"""LoRA on the pipeline: what was trained on the UNet's layers is read, checked, loaded and saved."""

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from diffusers.loaders import SD3LoraLoaderMixin
from diffusers.loaders.lora_base import LoraBaseMixin
from diffusers.utils import USE_PEFT_BACKEND
from torch import nn

from .errors import UserError

if TYPE_CHECKING:
    from .models import HunyuanPortraitUNet

Source = str | PathLike[str] | Mapping[str, torch.Tensor]

PREFIX = "unet."
# What peft stores of a layer: the two factors, and what a LoRA trained with a bias or with DoRA has besides.
FACTORS = ("A.weight", "B.weight")
PARTS = (*FACTORS, "B.bias", "magnitude_vector")


class HunyuanPortraitLoraLoaderMixin(LoraBaseMixin):
    """Loads LoRA weights into the pipeline's UNet.

    Any linear or convolution layer may have them, those of the attention to the motion (`to_k_motion`,
    `to_v_motion`) like those of the attention to the image. A file holds peft's keys under `unet.`, such as
    `unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_q.lora_A.weight`, and the `LoraConfig` as metadata.
    """

    unet: "HunyuanPortraitUNet"
    _lora_loadable_modules = ["unet"]  # noqa: RUF012
    unet_name = "unet"

    @classmethod
    def lora_state_dict(cls, pretrained_model_name_or_path_or_dict: Source, **kwargs: Any) -> Any:
        """What a LoRA file holds, as it is.

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder, a Hub repository or a state dict.
            kwargs: `weight_name`, `subfolder`, `revision`, `token`, `cache_dir`, `force_download`, `proxies`,
                `local_files_only`, `use_safetensors`, as in diffusers. With `return_lora_metadata=True` the
                metadata is returned too, or `None` where there is none.

        Raises:
            UserError: nothing could be read.
        """
        source = pretrained_model_name_or_path_or_dict
        # Reading is the same for all of diffusers' pipelines; this is one of those that change no key.
        read = SD3LoraLoaderMixin.lora_state_dict
        try:
            return read(source, **{"use_safetensors": True, **kwargs})
        except Exception as error:  # the Hub's clients and safetensors have types of their own, and none in common
            raise UserError(
                f"No LoRA could be read from {_name(source)}; give a safetensors file, a folder or Hub repository "
                f"that has one, or a state dict ({_reason(error)})."
            ) from error

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: Source,
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs: Any,
    ) -> None:
        """Loads LoRA weights into the UNet and makes them the active ones; where they do not fit, nothing changes.

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder, a Hub repository or a state dict.
            adapter_name: what `set_adapters`, `fuse_lora` and `delete_adapters` know it by; `default_0`,
                `default_1` and so on by default.
            hotswap: take the place of the loaded adapter of that name, which needs no new compilation where
                `enable_lora_hotswap` was called first.
            kwargs: as in `lora_state_dict`, and `low_cpu_mem_usage`, `True` by default.

        Raises:
            UserError: peft is missing, there is no such file, its weights are for another network, or the
                adapter's name is taken, or with `hotswap` is not.
        """
        source = pretrained_model_name_or_path_or_dict
        adapter_name = self._choose_name(adapter_name, hotswap)
        low_cpu_mem_usage = kwargs.pop("low_cpu_mem_usage", True)
        state_dict, metadata = self.lora_state_dict(source, **kwargs, return_lora_metadata=True)
        _check_layers(state_dict, self.unet, _name(source))
        if hotswap and any((metadata or {}).get(f"{PREFIX}{pattern}_pattern") for pattern in ("rank", "alpha")):
            raise UserError(
                f"The LoRA in {_name(source)} has layers of several ranks or alphas, which peft would swap with "
                "wrong scales; load it under another name."
            )
        options = {"prefix": self.unet_name, "adapter_name": adapter_name, "hotswap": hotswap}
        # peft wraps layer after layer and diffusers takes hooks off, so what fails must fail elsewhere first.
        try:
            with torch.device("meta"):
                _skeleton(self.unet).load_lora_adapter(
                    state_dict, metadata=copy.deepcopy(metadata), low_cpu_mem_usage=True, **options
                )
        except Exception as error:
            raise UserError(f"The LoRA in {_name(source)} cannot be loaded ({_reason(error)}).") from error
        self.unet.load_lora_adapter(
            state_dict, metadata=metadata, low_cpu_mem_usage=low_cpu_mem_usage, _pipeline=self, **options
        )

    def _choose_name(self, adapter_name: str | None, hotswap: bool) -> str:
        """The name of the adapter to be loaded; raises `UserError` where it cannot be."""
        if not USE_PEFT_BACKEND:
            raise UserError("LoRA weights need peft; install it with `pip install peft`.")
        loaded = getattr(self.unet, "peft_config", {})
        if hotswap and adapter_name not in loaded:
            known = ", ".join(map(repr, loaded)) or "none"
            raise UserError(
                f"There is no adapter {adapter_name!r} to swap, but {known}; name one of these, or leave "
                "`hotswap` out."
            )
        if hotswap and adapter_name in self.fused_loras:
            raise UserError(f"The adapter {adapter_name!r} is fused; call `unfuse_lora` before it is swapped.")
        if not hotswap and adapter_name in loaded:
            raise UserError(f"An adapter {adapter_name!r} is loaded already; delete it, or give another name.")
        if adapter_name is not None:
            return adapter_name
        # As diffusers counts them, but for names that are taken where others were deleted.
        names = (f"default_{index}" for index in itertools.count(len(loaded)))
        return next(name for name in names if name not in loaded)

    @classmethod
    def save_lora_weights(
        cls,
        save_directory: str | PathLike[str],
        unet_lora_layers: nn.Module | Mapping[str, torch.Tensor],
        is_main_process: bool = True,
        weight_name: str | None = None,
        save_function: Callable | None = None,
        safe_serialization: bool = True,
        unet_lora_adapter_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes LoRA weights as `load_lora_weights` reads them.

        Args:
            save_directory: where `weight_name` is written, `pytorch_lora_weights.safetensors` by default.
            unet_lora_layers: the UNet's, as `peft.utils.get_peft_model_state_dict(pipe.unet)` gives them.
            is_main_process, save_function, safe_serialization: as in diffusers.
            unet_lora_adapter_metadata: the adapter's `LoraConfig`, as `pipe.unet.peft_config[name].to_dict()`
                gives it. Without it, what is loaded is scaled by 1, whatever alpha it was trained with.

        Raises:
            UserError: there are no weights.
        """
        if not unet_lora_layers:
            raise UserError("There are no LoRA weights to save; give them as `unet_lora_layers`.")
        metadata = {cls.unet_name: unet_lora_adapter_metadata} if unet_lora_adapter_metadata else {}
        cls._save_lora_weights(
            save_directory=save_directory,
            lora_layers={cls.unet_name: unet_lora_layers},
            lora_metadata=metadata,
            is_main_process=is_main_process,
            weight_name=weight_name,
            save_function=save_function,
            safe_serialization=safe_serialization,
        )

    def fuse_lora(
        self,
        components: Sequence[str] = ("unet",),
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds the active adapters, or those named, to the UNet's weights, scaled; `unfuse_lora` undoes it."""
        super().fuse_lora(list(components), lora_scale, safe_fusing, adapter_names, **kwargs)

    def unfuse_lora(self, components: Sequence[str] = ("unet",), **kwargs: Any) -> None:
        """Takes fused adapters out of the UNet's weights again; they stay loaded."""
        super().unfuse_lora(list(components), **kwargs)


def _name(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else f"{str(source)!r}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _skeleton(unet: "HunyuanPortraitUNet") -> "HunyuanPortraitUNet":
    """A network with the layers and adapters of `unet`; to be made on `meta`, where weights take no memory."""
    from peft import inject_adapter_in_model

    skeleton = unet.from_config({k: v for k, v in unet.config.items() if k != "quantization_config"})
    for name, config in getattr(unet, "peft_config", {}).items():
        inject_adapter_in_model(copy.deepcopy(config), skeleton, name)
    skeleton._prepare_lora_hotswap_kwargs = unet._prepare_lora_hotswap_kwargs
    return skeleton


def _check_layers(state_dict: Mapping[str, torch.Tensor], unet: nn.Module, name: str) -> None:
    """Raises `UserError` where the weights are not LoRA weights in peft's form, or fit no layer of the network."""
    layers: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, weight in state_dict.items():
        layer, _, part = str(key).removeprefix(PREFIX).partition(".lora_")
        if not str(key).startswith(PREFIX) or part not in PARTS or not torch.is_tensor(weight):
            raise UserError(
                f"`{key}` in {name} is no LoRA weight of this pipeline; they are named as peft does, behind "
                f"`{PREFIX}`: `{PREFIX}conv_in.lora_A.weight`."
            )
        layers[layer][part] = weight
    if not layers:
        raise UserError(f"There are no weights in {name}.")
    for layer, parts in layers.items():
        _check_layer(layer, parts, unet, name)


def _check_layer(layer: str, parts: Mapping[str, torch.Tensor], unet: nn.Module, name: str) -> None:
    try:
        module = unet.get_submodule(layer)
    except AttributeError as error:
        raise UserError(f"The LoRA in {name} is for another network: this UNet has no layer `{layer}`.") from error
    module = getattr(module, "base_layer", module)  # an adapter may be there already
    if isinstance(module, nn.Linear):
        size = module.out_features, module.in_features
    elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
        size = module.out_channels, module.in_channels
    else:
        raise UserError(f"The LoRA in {name} is for another network: `{layer}` is no layer that can have one.")
    missing = [part for part in FACTORS if part not in parts]
    if missing:
        raise UserError(f"The LoRA in {name} is damaged: `{layer}` lacks its `lora_{missing[0]}`.")
    down, up = (tuple(parts[part].shape) for part in FACTORS)
    if min(len(down), len(up)) < 2 or (up[0], down[1]) != size or up[1] != down[0]:
        raise UserError(
            f"The LoRA in {name} is for another network: its factors of `{layer}` are of {up} and {down}, but the "
            f"layer is of {size}."
        )
