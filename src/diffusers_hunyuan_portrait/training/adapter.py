"""The stage *adapter*: LoRA on the UNet's attention layers, for one person or one style."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from ..errors import UserError
from .objective import ObjectiveOptions
from .stage import Stage

if TYPE_CHECKING:
    from ..pipeline import HunyuanPortraitPipeline

LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "to_k_motion", "to_v_motion")  # of every attention
NAME = "default"


class AdapterTraining(Stage):
    """Trains LoRA matrices beside a UNet that stays as it is, like all other networks.

    Args:
        pipe: the model; of any type, where autocast brings it together with the matrices in float32.
        objective: what the loss is made of.
        rank, alpha: of the LoRA.

    Raises:
        UserError: peft is missing.
    """

    def __init__(
        self,
        pipe: "HunyuanPortraitPipeline",
        objective: ObjectiveOptions | None = None,
        rank: int = 16,
        alpha: int = 16,
    ):
        super().__init__(pipe, objective)
        try:
            from peft import LoraConfig
        except ImportError as error:
            raise UserError("LoRA is trained by peft, which is not installed; `pip install peft`.") from error
        for network in self.frozen:
            network.requires_grad_(False).eval()
        pipe.unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(LAYERS)), NAME)
        # The matrices alone are this module's: a name of a module may hold no dots.
        self.matrices = nn.ModuleDict(
            {
                name.replace(".", "/"): nn.ModuleList([layer.lora_A[NAME], layer.lora_B[NAME]])
                for name, layer in pipe.unet.named_modules()
                if hasattr(layer, "lora_A")
            }
        ).float()

    @property
    def frozen(self) -> list[nn.Module]:
        pipe = self.pipe
        networks = [pipe.vae, pipe.im_adapter, pipe.motion_extractor, pipe.pose_guider, pipe.id_encoder, pipe.unet]
        return [network for network in networks if network is not None]

    def save(self, folder: Path) -> None:
        """Writes the matrices, as `load_lora_weights` reads them."""
        from peft import get_peft_model_state_dict

        self.pipe.save_lora_weights(
            folder,
            get_peft_model_state_dict(self.pipe.unet),
            unet_lora_adapter_metadata=self.pipe.unet.peft_config[NAME].to_dict(),
        )
