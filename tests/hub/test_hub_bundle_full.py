"""A bundle in a new environment of torch, diffusers and transformers alone, then with the wheel beside them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from astronaut import moving_frames, portrait_picture
from PIL import Image
from runs import make_conditions, small_run
from synthetic import normal

from diffusers_hunyuan_portrait.hub.bundle import write_bundle
from diffusers_hunyuan_portrait.media import VideoWriter

REPOSITORY = Path(__file__).parents[2]
FRAMES = 5
PICTURES_AND_CLIPS = """
import sys
import torch
from diffusers import DiffusionPipeline

torch.set_num_threads(1)
pipe = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
settings = {"num_inference_steps": 2, "window_size": 4, "window_overlap": 1, "output_type": "latent"}
torch.save(pipe(**torch.load("inputs.pt"), **settings).frames, "latents.pt")
try:
    frames = pipe(image="portrait.png", driving_video="driving.mp4", num_inference_steps=1).frames[0]
    print("made", len(frames), *frames[0].size, type(pipe).__module__)
except ValueError as error:
    print("refused", error)
"""

pytestmark = pytest.mark.full


def run(*words: object, cwd: Path) -> str:
    """Runs a command, without what this test's own environment would lend it; gives what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=kept | {"HF_HOME": str(cwd / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """Those of a new environment with the three alone; torch first and by version, as everywhere here."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    run(folder / "bin" / "pip", "install", "--quiet", "torch==2.13.0", cwd=folder)
    run(folder / "bin" / "pip", "install", "--quiet", "diffusers", "transformers", cwd=folder)
    return folder / "bin"


def test_the_three_are_enough_and_with_the_wheel_pictures_and_clips_run(
    programs, tiny_model_dir, tiny_pipeline, tmp_path
):
    torch.set_num_threads(1)  # as in the environment
    bundle = write_bundle(tiny_model_dir, tmp_path / "bundle")
    given = {
        "conditions": vars(make_conditions("alone", FRAMES)),
        "latents": normal("alone/noise", (1, FRAMES, 4, 8, 8)),
    }
    torch.save(given, tmp_path / "inputs.pt")
    expected = small_run(tiny_pipeline, **given)
    Image.fromarray(portrait_picture()).save(tmp_path / "portrait.png")
    with VideoWriter(tmp_path / "driving.mp4", frame_rate=25) as writer:
        for frame in moving_frames(3):
            writer.write(frame)

    installed = run(programs / "pip", "list", cwd=tmp_path)
    for package in ("diffusers-hunyuan-portrait", "accelerate", "peft", "opencv", "onnxruntime"):
        assert package not in installed
    said = run(programs / "python", "-c", PICTURES_AND_CLIPS, bundle, cwd=tmp_path)
    assert torch.equal(torch.load(tmp_path / "latents.pt"), expected)
    assert said.startswith("refused Pictures and clips need the package diffusers-hunyuan-portrait")
    assert "`pip install diffusers-hunyuan-portrait`" in said

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "wheel", REPOSITORY, cwd=tmp_path)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    run(programs / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    (tmp_path / "latents.pt").unlink()
    said = run(programs / "python", "-c", PICTURES_AND_CLIPS, bundle, cwd=tmp_path)
    assert torch.equal(torch.load(tmp_path / "latents.pt"), expected)
    assert said.split() == ["made", "3", "64", "64", "diffusers_modules.local.pipeline"]
