"""`hunyuan-portrait doctor` and the command line's own manners."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch

from diffusers_hunyuan_portrait.cli.animate import parse_scale
from diffusers_hunyuan_portrait.errors import UserError


def test_doctor_says_what_would_be_used(command):
    code, said = command("doctor")
    assert code == 0
    for fact in [metadata.version("diffusers-hunyuan-portrait"), torch.__version__, "device", "dtype", "libx264"]:
        assert fact in said


def test_a_feature_that_is_not_installed_is_named_with_its_remedy(monkeypatch, capsys):
    from diffusers_hunyuan_portrait.cli import doctor

    installed = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if "insightface" in name else installed(name))
    doctor.doctor()
    said = capsys.readouterr().out
    assert "detector insightface: pip install 'diffusers-hunyuan-portrait[insightface]'" in said


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
