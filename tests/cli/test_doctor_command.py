"""`hunyuan-portrait doctor` and the command line's own manners."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch
from huggingface_hub import constants

from diffusers_hunyuan_portrait.cli.options import parse_scale
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub.originals import HubName


def test_doctor_says_what_would_be_used(command):
    code, said = command("doctor")
    assert code == 0
    for fact in [metadata.version("diffusers-hunyuan-portrait"), torch.__version__, "device", "dtype", "libx264"]:
        assert fact in said


def test_what_is_missing_is_named_with_what_brings_it(command, monkeypatch, tmp_path):
    monkeypatch.delenv("HUNYUAN_PORTRAIT_MODEL", raising=False)
    monkeypatch.delenv("HUNYUAN_PORTRAIT_YOLOFACE", raising=False)
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    _, said = command("doctor")
    assert "no model pack of insightface" in said or "insightface needs the package" in said
    assert "yoloface_v5m.pt; download it from LeonJoe13/Sonic" in said
    assert "HUNYUAN_PORTRAIT_MODEL" in said
    assert "onnxruntime;" not in said  # it is installed


def test_what_is_there_is_not_named(command, monkeypatch, tmp_path):
    (tmp_path / "yoloface_v5m.pt").touch()
    monkeypatch.setenv("HUNYUAN_PORTRAIT_YOLOFACE", str(tmp_path))
    monkeypatch.setenv("HUNYUAN_PORTRAIT_MODEL", str(tmp_path))
    _, said = command("doctor")
    assert "LeonJoe13" not in said
    assert "HUNYUAN_PORTRAIT_MODEL" not in said


def test_the_default_model_is_told_with_its_place_once_it_is_there(command, monkeypatch, tmp_path):
    monkeypatch.delenv("HUNYUAN_PORTRAIT_MODEL", raising=False)
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path))
    _, said = command("doctor")
    assert "model tencent/HunyuanPortrait (not here yet)" in said
    assert "`animate` fetches it at its first run" in said
    folder = HubName.parse("tencent/HunyuanPortrait").folder
    folder.mkdir(parents=True)
    (folder / "model_index.json").touch()
    _, said = command("doctor")
    assert f"model tencent/HunyuanPortrait (ready in {folder})" in said
    assert "fetches" not in said


def test_a_model_of_this_package_is_here(command, monkeypatch):
    monkeypatch.setenv("HUNYUAN_PORTRAIT_MODEL", "drawn-faces")
    _, said = command("doctor")
    assert "model drawn-faces (in this package)" in said
    assert "not here yet" not in said


def test_the_module_runs_as_the_installed_command_does():
    done = subprocess.run(
        [sys.executable, "-c", "from diffusers_hunyuan_portrait.cli.main import run; run()", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert all(command in done.stdout for command in ["animate", "convert", "doctor"])


@pytest.mark.parametrize(("text", "scale"), [("2", 2.0), ("1:3", (1.0, 3.0)), ("2.5:1.5", (2.5, 1.5))])
def test_a_scale_is_a_number_or_two(text, scale):
    assert parse_scale(text, "--option") == scale


@pytest.mark.parametrize("text", ["", "a", "1:2:3", "1:"])
def test_anything_else_is_no_scale(text):
    with pytest.raises(UserError, match="--option"):
        parse_scale(text, "--option")
