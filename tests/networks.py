"""The four networks of the tiny pipeline, and inputs for each."""

import torch
from synthetic import normal, uniform, unit

NETWORKS = ["unet", "im_adapter", "motion_extractor", "pose_guider"]


def inputs(name: str, batch: int = 1, **changes) -> dict:
    """Arguments of the network `name`, `batch` entries of them; entries differ from each other."""
    every = {
        "unet": {
            "sample": normal("unet/sample", (batch, 3, 8, 8, 8)),
            "timestep": torch.tensor(0.7),
            "encoder_hidden_states": normal("unet/image", (batch, 16, 64)),
            "added_time_ids": torch.tensor([[12.5, 0.0, 0.0]] * batch),
            "motion_hidden_states": normal("unet/motion", (batch, 3, 16, 64)),
            "pose_features": normal("unet/pose", (batch, 3, 32, 8, 8)),
        },
        "im_adapter": {
            "dino_image": normal("image", (batch, 3, 224, 224)),
            "id_embedding": unit("identity", (batch, 512)),
        },
        "motion_extractor": {
            "face_crops": uniform("face", (batch, 3, 256, 256)),
            "pose_crops": uniform("pose", (batch, 3, 256, 256)),
            "head_level": 17,
            "expression_level": 90,
        },
        "pose_guider": {"pose_images": uniform("pose", (batch, 3, 2, 16, 16))},
    }
    return {**every[name], **changes}


def entry(arguments: dict, index: int) -> dict:
    """One entry of a batch, as a batch of its own."""
    return {
        name: value[index : index + 1] if torch.is_tensor(value) and value.ndim else value
        for name, value in arguments.items()
    }


def run(network, name: str, batch: int = 1, **changes) -> torch.Tensor:
    """The first of what the network gives for `inputs`, without gradients."""
    with torch.no_grad():
        return network(**inputs(name, batch, **changes), return_dict=False)[0]


# The names that diffusers takes a type by; the first is deprecated.
TYPE_ARGUMENTS = ("torch_dtype", "dtype")


def let_the_cpu_offload(monkeypatch) -> None:
    """Group offload asks what accelerator there is, whatever device it is given; older diffusers fail at none."""
    if torch.accelerator.current_accelerator() is None:
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *args: torch.device("cpu"))


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([one.flatten().float(), other.flatten().float()]))[0, 1].item()
