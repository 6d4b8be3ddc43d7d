"""The wheel as people install it: in a new environment, run from an empty folder, with no source tree in sight."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astronaut import moving_frames, portrait_picture
from PIL import Image
from synthetic import tiny_model

from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter

REPOSITORY = Path(__file__).parents[1]
DRAWN_FACES = REPOSITORY / "src" / "diffusers_hunyuan_portrait" / "drawn_faces" / "model"

pytestmark = pytest.mark.full


def run(*words: object, cwd: Path, **environment: str) -> str:
    """Runs a command, without what this test's own environment would lend it; gives what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, REPOSITORY, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """The programs of a new environment with the wheel in it; torch first and by version, as everywhere here."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    programs = folder / "bin"
    run(programs / "pip", "install", "--quiet", "torch==2.13.0", cwd=folder)
    run(programs / "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


def test_weights_licences_and_types_are_inside(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for ending in ["face/weights/mtcnn.safetensors", "licenses/LICENSE", "licenses/NOTICE", "/py.typed"]:
        assert any(name.endswith(ending) for name in names), (ending, names)
    assert not [name for name in names if name.startswith(("tests", "examples"))]


def test_the_small_model_is_inside_and_small(wheel):
    """At most 25 MB of weights, 12 MB a file, with its card; the code for the Hub is written where it is saved."""
    stored = {file.filename: file.file_size for file in zipfile.ZipFile(wheel).infolist()}
    inside = {name: size for name, size in stored.items() if "/drawn_faces/model/" in name}
    in_tree = {
        path.relative_to(REPOSITORY / "src").as_posix() for path in DRAWN_FACES.rglob("*") if path.is_file()
    }
    assert inside.keys() == {name for name in in_tree if not name.endswith(".py")}
    assert any(name.endswith("/drawn_faces/model/README.md") for name in inside)
    weights = [size for name, size in inside.items() if name.endswith(".safetensors")]
    assert max(weights) <= 12_000_000
    assert sum(weights) <= 25_000_000
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")


def test_no_other_build_of_torch_and_no_torchvision_comes_along(environment, tmp_path):
    installed = run(environment / "pip", "list", cwd=tmp_path)
    assert "torchvision" not in installed
    assert "nvidia" not in installed


def test_its_commands_run_from_an_empty_folder(environment, tiny_source, tmp_path):
    command = environment / "hunyuan-portrait"
    Image.fromarray(portrait_picture()).save(tmp_path / "portrait.png")
    with VideoWriter(tmp_path / "driving.mp4", frame_rate=25) as writer:
        for frame in moving_frames(3):
            writer.write(frame)
    said = run(command, "doctor", cwd=tmp_path)
    assert "mtcnn" in said
    animate = (command, "animate", "portrait.png", "driving.mp4", "--steps", 1)
    run(*animate, "-o", "tiny.mp4", "--model", "tiny", cwd=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tiny_model()["config"]))
    svd = tiny_source / "svd"
    run(
        command, "convert", tiny_source, "--svd", svd, "--output", "model", "--config", "config.json", cwd=tmp_path
    )
    run(*animate, "-o", "converted.mp4", "--model", "model", cwd=tmp_path)
    for name in ["tiny.mp4", "converted.mp4"]:
        frames = np.stack(list(VideoReader(tmp_path / name)))
        assert frames.shape == (3, 512, 512, 3)
