"""The stage *portrait*: all that the paper trains, as one module (sections 3 and 4.1)."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from ..models.im_adapter import IDAdapter
from .objective import ObjectiveOptions
from .stage import Stage

if TYPE_CHECKING:
    from ..pipeline import HunyuanPortraitPipeline


class PortraitTraining(Stage):
    """Trains the UNet, the adapters with the token projection, the refiner and the pose guider of a pipeline.

    Frozen are VAE, image encoder, ID encoder, expression and head-pose encoders.

    Args:
        pipe: the model; its networks must be in float32.
        objective: what the loss is made of.
    """

    def __init__(self, pipe: "HunyuanPortraitPipeline", objective: ObjectiveOptions | None = None):
        super().__init__(pipe, objective)
        self.unet = pipe.unet
        self.pose_guider = pipe.pose_guider
        self.refiner = pipe.motion_extractor.refiner
        self.adapters = pipe.im_adapter.adapters
        self.image_proj = pipe.im_adapter.image_proj
        self.requires_grad_(True)
        if not getattr(pipe.im_adapter.config, "id_as_query", False):
            for adapter in self.adapters.values():
                _freeze_what_cannot_act(adapter)
        for network in self.frozen:
            network.requires_grad_(False).eval()
        self.train()

    @property
    def frozen(self) -> list[nn.Module]:
        extractor = self.pipe.motion_extractor
        networks = [
            self.pipe.vae,
            self.pipe.im_adapter.backbone,
            extractor.expression_encoder,
            extractor.head_pose_encoder,
            self.pipe.id_encoder,
        ]
        return [network for network in networks if network is not None]

    def parameter_groups(self, learning_rate: float, new_parts_learning_rate: float) -> list[dict]:
        """Those that Stable Video Diffusion has, and the others."""
        inherited: list[nn.Parameter] = []
        new: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                is_new = not name.startswith("unet.") or "_motion." in name
                (new if is_new else inherited).append(parameter)
        return [{"params": inherited, "lr": learning_rate}, {"params": new, "lr": new_parts_learning_rate}]

    def save(self, folder: Path) -> None:
        """Writes the model, as `from_pretrained` loads it."""
        self.pipe.save_pretrained(folder)


def _freeze_what_cannot_act(adapter: IDAdapter) -> None:
    """Leaves out what the released form of the adapter never uses (contract, "Appearance").

    DDP would wait for the gradients of these for ever.
    """
    attention = adapter.cross_attention
    query = (attention.image_proj, attention.attention.to_q, attention.attention.to_k)
    for part in (adapter.branch_1x1, adapter.branch_3x3, adapter.branch_5x5, *query):
        part.requires_grad_(False)
