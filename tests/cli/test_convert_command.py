"""`hunyuan-portrait convert`, and the script that stands for it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from synthetic import GOLDEN

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture
def output(tmp_path):
    """Where to convert to; removed after the test."""
    yield tmp_path / "model"
    shutil.rmtree(tmp_path / "model", ignore_errors=True)


def test_it_converts_by_a_config_file_and_says_where_to(tiny_source, command, output):
    config = GOLDEN / "tiny_model.json"  # has the sizes under "config"
    words = ["--svd", tiny_source / "svd", "--output", output, "--config", config, "--dtype", "bf16"]
    code, said = command("convert", tiny_source, *words)
    assert code == 0, said
    assert str(output) in said.replace(" ", "")
    assert "Converting" in said
    pipe = HunyuanPortraitPipeline.from_pretrained(output)
    assert pipe.config.resolution == 64


def test_an_error_is_one_sentence_and_exit_code_2(tiny_source, command, output):
    code, said = command("convert", tiny_source, "--svd", tiny_source / "svd", "--output", output)
    assert code == 2
    assert said.startswith("Error: ")
    assert "dino.pth does not hold the weights expected of it" in said
    assert "Traceback" not in said
    assert not output.exists()


def test_a_pickle_that_holds_more_than_tensors_is_refused(tiny_source, command, output, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in tiny_source.glob("*.pth"):
        (source / path.name).symlink_to(path)
    (source / "image_proj.pth").unlink()
    torch.save(torch.nn.Linear(2, 2), source / "image_proj.pth")
    words = ["--svd", tiny_source / "svd", "--output", output, "--config", GOLDEN / "tiny_model.json"]
    code, said = command("convert", source, *words)
    assert code == 2
    assert said.count("Error: ") == 1
    assert "image_proj.pth is refused: beside tensors it holds torch.nn.modules.linear.Linear" in said
    assert "Traceback" not in said
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read: No such file"), ("{", "is not a JSON file"), ("3", "a JSON int")],
)
def test_a_bad_config_file_is_named(content, sentence, tiny_source, command, output, tmp_path):
    config = tmp_path / "sizes.json"
    if content is not None:
        config.write_text(content)
    code, said = command(
        "convert", tiny_source, "--svd", tiny_source / "svd", "--output", output, "--config", config
    )
    assert code == 2
    assert "sizes.json" in said
    assert sentence in said


def test_the_script_does_the_same(tiny_source, tiny_config, output, tmp_path):
    config = tmp_path / "sizes.json"
    config.write_text(json.dumps(tiny_config))
    script = ROOT / "convert" / "convert_hunyuan_portrait.py"
    words = [script, tiny_source, "--svd", tiny_source / "svd", "--output", output, "--config", config]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, *words], check=True, env=os.environ | {"PYTHONPATH": path})
    assert (output / "model_index.json").is_file()
