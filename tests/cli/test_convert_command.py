"""`hunyuan-portrait convert`, and the script that stands for it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import HubServer, log_in
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


# -- Publishing what was converted -----------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with HubServer() as server:
        log_in(server, monkeypatch, tmp_path)
        yield server


@pytest.fixture
def convert(tiny_source, command, output):
    """The command with the tiny set and further words."""
    given = ["--svd", tiny_source / "svd", "--output", output, "--config", GOLDEN / "tiny_model.json"]
    return lambda *words: command("convert", tiny_source, *given, *words)


def test_it_writes_shards_and_a_variant(convert, output):
    code, said = convert("--variant", "bf16", "--max-shard-size", "50MB")
    assert code == 0, said
    assert (output / "unet" / "diffusion_pytorch_model.bf16.safetensors").is_file()
    assert (output / "motion_extractor" / "diffusion_pytorch_model-00001-of-00003.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--max-shard-size", "big"], "A file of weights cannot be at most 'big'"),
        (["--variant", "fp32"], "There is no variant 'fp32'; use fp16 or bf16"),
        (["--private"], "--private is for what is published"),
        (["--push-to-hub", "a b"], "'a b' cannot be the name of a repository"),
        (["--push-to-hub", "others/model"], "tester cannot publish others/model"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(words, sentence, hub, convert, output):
    code, said = convert(*words)
    assert code == 2
    assert sentence in said
    assert not output.exists()
    assert not hub.repositories


def test_without_a_login_nothing_is_converted(hub, convert, output, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    code, said = convert("--push-to-hub", "tester/model")
    assert (code, said.count("Error: ")) == (2, 1)
    assert "A token is needed for tester/model; log in by `hf auth login` or set HF_TOKEN." in said
    assert not output.exists()


def test_the_same_command_goes_on_with_a_broken_upload(hub, convert, output):
    hub.fail("tester/model", None, status=403, method="PUT", skip=1)
    words = ["--push-to-hub", "tester/model", "--private"]
    code, said = convert(*words)
    assert code == 2
    assert f"{output} is kept: run the same again to go on" in said
    written = {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    first = [request for request in hub.requests if request.method == "PUT" and request.status == 200]
    hub.requests.clear()

    code, said = convert(*words)
    assert code == 0, said
    assert f"{output} is there already and is published as it is" in said
    assert f"Published {hub.url}/tester/model" in said
    assert {path: path.stat().st_mtime_ns for path in output.glob("*/*")} == written
    assert len(first) == 1
    assert first[0].path not in {request.path for request in hub.requests}
    assert hub.repositories["tester/model"].private
    card = hub.files("tester/model")["README.md"].decode()
    assert "hunyuan-portrait animate portrait.png driving.mp4 --output animated.mp4 --model tester/model" in card
