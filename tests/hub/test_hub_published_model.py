"""A tiny model from its conversion to the Hub, and from there, as its card says, to a video."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from astronaut import moving_frames, portrait_picture
from hub_server import HubServer, environment_of
from PIL import Image

from diffusers_hunyuan_portrait import media

NAME = "tester/portraits"
BIN = Path(sys.executable).parent  # where the command is installed, too


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published-model")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def hub(tiny_source, tiny_config, home):
    """A Hub with the tiny set, published in half precision, too, in shards, by one command."""
    source = home / "originals"
    source.mkdir()
    for path in [*tiny_source.glob("*.pth"), tiny_source / "svd"]:
        (source / path.name).symlink_to(path)
    (source / "LICENSE.txt").write_text("What Tencent's licence says.\n")
    (home / "sizes.json").write_text(json.dumps(tiny_config))
    with HubServer() as server:
        words = [
            "convert",
            source,
            "--svd",
            source / "svd",
            "--config",
            home / "sizes.json",
            "--output",
            home / "model",
        ]
        words += ["--variant", "fp16", "--max-shard-size", "20MB", "--push-to-hub", NAME]
        done = run([BIN / "hunyuan-portrait", *words], server, home)
        assert f"Published {server.url}/{NAME}" in done.stderr
        yield server


def run(words: list, hub: HubServer, home: Path, **options) -> subprocess.CompletedProcess:
    environment = environment_of(hub, home / "hf-home") | {"OMP_NUM_THREADS": "1"}
    environment["PATH"] = os.pathsep.join([str(BIN), environment.get("PATH", "")])
    done = subprocess.run(
        list(map(str, words)), env=environment, cwd=home, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def inputs(home):
    """What the card says its reader has: a portrait and a clip of one's own."""
    Image.fromarray(portrait_picture()).save(home / "portrait.png")
    with media.VideoWriter(home / "driving.mp4", frame_rate=25) as writer:
        for frame in moving_frames(4):
            writer.write(frame)


def blocks(hub: HubServer, language: str) -> list[str]:
    """The code in the card of what was published."""
    card = hub.files(NAME)["README.md"].decode()
    return re.findall(rf"^```{language}\n(.*?)^```", card, re.MULTILINE | re.DOTALL)


def test_what_is_published_is_what_was_converted(hub, home):
    folder = home / "model"
    files = hub.files(NAME)
    del files[".gitattributes"]
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert files == {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}
    assert files["LICENSE"] == files["licences/hunyuan-portrait/LICENSE.txt"] == b"What Tencent's licence says.\n"


def test_its_metadata_are_read_by_the_hubs_own_reader(hub, home):
    code = f"import json\nfrom huggingface_hub import ModelCard\ncard = ModelCard.load('{NAME}')\n"
    code += "print(json.dumps(card.data.to_dict()))"
    data = json.loads(run([sys.executable, "-c", code], hub, home).stdout)
    assert data["library_name"] == "diffusers"
    assert data["pipeline_tag"] == "image-to-video"
    assert data["base_model"] == ["tencent/HunyuanPortrait", "stabilityai/stable-video-diffusion-img2vid-xt"]
    assert data["license"] == "other"
    assert data["license_link"] in hub.files(NAME)


def fetched_weights(hub: HubServer) -> set[str]:
    paths = [request.path for request in hub.requests if request.is_file]
    return {"/".join(path.split("/")[-2:]) for path in paths if path.endswith(".safetensors")}


@pytest.fixture
def of_the_variant(hub, home) -> set[str]:
    """The files of weights that the variant takes: its own, and the motion extractor's, which has none."""
    shutil.rmtree(home / "hf-home", ignore_errors=True)
    hub.requests.clear()
    files = {file for file in hub.files(NAME) if file.endswith(".safetensors")}
    main = {file for file in files if file.startswith("motion_extractor/")}
    assert len(main) > 1  # in shards
    return main | {file for file in files if "fp16" in file}


def test_its_python_runs_as_pasted(hub, home, inputs, of_the_variant):
    (code,) = blocks(hub, "python")
    run([sys.executable, "-c", code], hub, home)
    assert [frame.shape for frame in media.open_frames(home / "animated.mp4")] == [(512, 512, 3)] * 4
    assert fetched_weights(hub) == of_the_variant
    (home / "animated.mp4").unlink()


def test_its_command_runs_as_pasted(hub, home, inputs):
    install, command = blocks(hub, "sh")
    assert install == "pip install diffusers-hunyuan-portrait\n"
    run(["bash", "-euc", command], hub, home)
    assert len(list(media.open_frames(home / "animated.mp4"))) == 4
    (home / "animated.mp4").unlink()


def test_diffusers_own_class_fetches_no_more_of_a_variant(hub, home, of_the_variant):
    code = f"""
import torch, diffusers_hunyuan_portrait
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained("{NAME}", variant="fp16", torch_dtype=torch.float16)
print(pipe.unet.dtype, next(pipe.motion_extractor.parameters()).dtype)
"""
    assert run([sys.executable, "-c", code], hub, home).stdout.split() == ["torch.float16", "torch.float32"]
    assert fetched_weights(hub) == of_the_variant
