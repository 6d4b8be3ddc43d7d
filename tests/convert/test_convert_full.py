"""The full-size set: conversion within its memory, and every network's golden output from the converted folder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from runs import NETWORK_BAR, distance, golden
from synthetic import normal, published_manifests, state_dict, tiny_model, uniform, unit

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline

pytestmark = pytest.mark.full

DISK_NEEDED = 18e9  # bytes: the published files and the converted ones, in float32
MEMORY_ALLOWED = 8 * 2**30  # bytes

# Runs the command line and tells the most memory it had, mapped pages included. Not by `ru_maxrss` on Linux, where
# that starts from what the parent process had.
MEASURED = """
import resource
from pathlib import Path
from diffusers_hunyuan_portrait.cli.main import run
try:
    run()
finally:
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(int(line.split()[1]) * 1024 for line in status.open() if line.startswith("VmHWM"))
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("peak", peak)
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The seven full-size files with golden weights; files of SVD's sizes in `svd`. Removed at the end."""
    folder = tmp_path_factory.mktemp("full_size")
    free = shutil.disk_usage(folder).free
    if free < DISK_NEEDED:
        pytest.fail(
            f"{DISK_NEEDED / 1e9:.0f} GB of disk are needed in {folder}, but {free / 1e9:.1f} GB are free."
        )
    try:
        for file, manifest in published_manifests().items():
            torch.save(state_dict(manifest), folder / file)
        torch.manual_seed(0)
        vae = AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=768,
        )
        vae.half().save_pretrained(folder / "svd" / "vae", variant="fp16")
        for part, name, content in (
            ("unet", "config.json", {"_class_name": "UNetSpatioTemporalConditionModel", "sample_size": 96}),
            ("scheduler", "scheduler_config.json", tiny_model()["config"]["scheduler"]),
        ):
            (folder / "svd" / part).mkdir()
            (folder / "svd" / part / name).write_text(json.dumps(content))
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def convert(published: Path, tmp_path: Path) -> Iterator:
    """Converts in a process of its own, which must keep to the memory; the output is removed at the end."""

    def call(*options: str) -> Path:
        output = tmp_path / "model"
        words = ["convert", published, "--svd", published / "svd", "--output", output, *options]
        path = os.pathsep.join([str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *words],
            check=True,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        peak = int(done.stdout.split()[-1])
        print(f"converting {' '.join(options)}: {peak / 2**30:.2f} GiB at most")
        assert peak <= MEMORY_ALLOWED
        return output

    yield call
    shutil.rmtree(tmp_path)


@torch.no_grad()
def test_the_converted_networks_give_every_golden_output(convert):
    output = convert()
    assert json.loads((output / "model_index.json").read_text())["resolution"] == 512
    pipe = HunyuanPortraitPipeline.from_pretrained(output)

    features = pipe.pose_guider(uniform("pose_guider/public", (1, 3, 2, 128, 128))).sample
    assert distance(features, golden("pose_guider")["out"]) < NETWORK_BAR

    motion = pipe.motion_extractor(
        uniform("expression/public", (2, 3, 256, 256)), uniform("headpose/public", (2, 3, 256, 256)), 0, 0
    )
    assert distance(motion.expression, golden("expression")["out"]) < NETWORK_BAR
    assert distance(motion.rotation, golden("headpose")["rotation"]) < NETWORK_BAR
    assert distance(motion.translation, golden("headpose")["translation"]) < NETWORK_BAR

    levels = torch.tensor(17), torch.tensor(90)
    refined = pipe.motion_extractor.refiner(normal("motion_proj/public", (2, 512)), *levels)
    assert distance(refined, golden("motion_proj")["out"]) < NETWORK_BAR

    appearance = pipe.im_adapter(
        normal("dino/public/image", (1, 3, 224, 224)), unit("dino/public/id", (1, 1, 512))[:, 0]
    )
    assert distance(appearance.hidden_states, golden("dino")["tokens"]) < NETWORK_BAR
    assert distance(appearance.image_tokens, golden("dino")["image_proj"]) < NETWORK_BAR

    predicted = pipe.unet(
        normal("unet/public/sample", (2, 3, 8, 16, 16)),
        1.2,
        normal("unet/public/image", (6, 64, 1024)).view(2, 3, 64, 1024),
        torch.tensor([[12.5, 0, 0]] * 2),
        normal("unet/public/motion", (6, 64, 1024)).view(2, 3, 64, 1024),
        0.1 * normal("unet/public/pose", (2, 3, 320, 16, 16)),
    ).sample
    assert distance(predicted, golden("unet")["out"]) < NETWORK_BAR


def test_half_precision_keeps_to_the_memory_too(convert):
    unet = convert("--dtype", "fp16") / "unet"
    shards = sorted(unet.glob("*.safetensors"))
    # 1,575.7 M weights of two bytes
    assert sum(shard.stat().st_size for shard in shards) == pytest.approx(3.1514e9, rel=1e-3)
