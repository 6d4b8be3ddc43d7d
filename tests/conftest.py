"""Fixtures that several rooms share: the tiny networks with golden weights, and the command line."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from synthetic import published_manifests, state_dict, tiny_model

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.cli.main import run

ALL_THREADS = torch.get_num_threads()


@pytest.fixture(scope="session", autouse=True)
def config_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run's signature is kept, in all processes: not in the settings of who runs the tests."""
    folder = tmp_path_factory.mktemp("config")
    os.environ["HUNYUAN_PORTRAIT_CONFIG"] = str(folder)
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Networks as small as these run several times faster without other threads to wait for.

    A hook, not a fixture: what a fixture of a wider scope computes must be summed in the same order.
    """
    torch.set_num_threads(ALL_THREADS if item.get_closest_marker("full") else 1)


def write_tiny_source(folder: Path) -> None:
    """Writes the seven files in the published layout at the tiny sizes, and SVD's files in `folder / "svd"`.

    The expression and head-pose networks have no tiny size.
    """
    tiny, full_size = tiny_model(), published_manifests()
    for name in ("unet", "pose_guider", "dino", "image_proj", "motion_proj"):
        torch.save(state_dict(tiny["manifest"][name], f"tiny.{name}."), folder / f"{name}.pth")
    for file in ("expression.pth", "headpose.pth"):
        torch.save(state_dict(full_size[file]), folder / file)
    for part in ("vae", "scheduler", "unet"):
        (folder / "svd" / part).mkdir(parents=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / "svd" / part / name).write_text(json.dumps(tiny["config"][part]))
    vae_weights = state_dict(tiny["manifest"]["vae"], "tiny.vae.")
    save_file(vae_weights, folder / "svd" / "vae" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="session")
def tiny_config() -> dict:
    """The `config` that goes with `tiny_source`."""
    return tiny_model()["config"]


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the seven published files at tiny sizes; SVD's are in its `svd/`. Not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    write_tiny_source(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_source: Path, tiny_config: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_source` converted. Not to be changed."""
    from diffusers_hunyuan_portrait.convert import convert_checkpoint

    output = tmp_path_factory.mktemp("converted") / "tiny"
    convert_checkpoint(tiny_source, output, svd=tiny_source / "svd", config=tiny_config)
    return output


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_model_dir: Path) -> hp.HunyuanPortraitPipeline:
    """The pipeline loaded from `tiny_model_dir`; who changes it (offload, type) loads another."""
    return hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir)


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs the command line with these words, in-process; gives the exit code and all it said, as one line."""

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hunyuan-portrait", *map(str, words)])
        try:
            run()
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        captured = capfd.readouterr()
        return code, " ".join((captured.err + captured.out).split())

    return call
