"""Small originals as they are published on the Hub, with what goes with them in other repositories."""

import json
from collections.abc import Mapping
from pathlib import Path

from hub_server import HubServer

from diffusers_hunyuan_portrait.convert.licences import ARCFACE, SVD
from diffusers_hunyuan_portrait.hub.originals import ARCFACE_REVISION, PUBLISHED

Files = Mapping[str, Path | bytes]
NOT_FETCHED = ("README.md", "svd_xt.safetensors")


def original_files(source: Path, config: dict, id_model: Path) -> dict[str, Files]:
    """By repository, what a first run wants of it, and a little that it does not. 155 MB, converted 154 MB.

    `source` is what `write_tiny_source` wrote, and `config` goes with it.
    """
    svd = source / "svd"
    return {
        PUBLISHED: {
            **{path.name: path for path in source.glob("*.pth")},
            "config.json": json.dumps(config).encode(),
            "LICENSE.txt": b"Tencent's terms\n",
            "NOTICE": b"Tencent's notice\n",
            "README.md": b"Not fetched.\n",
        },
        SVD.repository: {
            "vae/config.json": svd / "vae" / "config.json",
            "vae/diffusion_pytorch_model.fp16.safetensors": svd / "vae" / "diffusion_pytorch_model.safetensors",
            "scheduler/scheduler_config.json": svd / "scheduler" / "scheduler_config.json",
            "unet/config.json": svd / "unet" / "config.json",
            "LICENSE.md": b"Stability AI's terms\n",
            "svd_xt.safetensors": bytes(5000),
        },
        ARCFACE.repository: {"arcface.onnx": id_model, "README.md": b"Not fetched.\n"},
    }


def size_of(files: Files) -> int:
    """Of what is fetched of them, in bytes."""
    return sum(
        len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in files.items()
        if name not in NOT_FETCHED
    )


def add_originals(hub: HubServer, originals: Mapping[str, Files], repository: str = PUBLISHED, place: str = ""):
    """Fills the Hub; the published files go to `repository`, the seven under `place`."""
    for name, files in originals.items():
        if name == PUBLISHED:
            files = {place + file if file.endswith(".pth") else file: content for file, content in files.items()}
            name = repository
        commit = hub.add(name, files)
        if name == ARCFACE.repository:
            commits = hub.repositories[name].commits
            commits[ARCFACE_REVISION] = commits.pop(commit)
