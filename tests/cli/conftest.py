"""`animate` on a small model, and what it is given."""

from fractions import Fraction
from pathlib import Path

import pytest
from astronaut import SHORT, moving_frames, portrait_picture
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoWriter


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """A folder with a portrait and a driving clip in which a face moves."""
    folder = tmp_path_factory.mktemp("media")
    Image.fromarray(portrait_picture()).save(folder / "portrait.png")
    with VideoWriter(folder / "driving.mp4", frame_rate=Fraction(30000, 1001)) as writer:
        for frame in moving_frames(SHORT):
            writer.write(frame)
    return folder


@pytest.fixture
def animate(command, media, tmp_path):
    """Runs `animate` on the good portrait and clip but for what a test changes; gives code, words and output."""

    def call(*options, portrait=None, driving=None, output=None, model="tiny"):
        output = output or tmp_path / "out.mp4"
        words = (
            portrait or media / "portrait.png",
            driving or media / "driving.mp4",
            "-o",
            output,
            "--model",
            model,
        )
        code, said = command("animate", *words, "--steps", 1, "--seed", 3, "--detector", "mtcnn", *options)
        return code, said, output

    return call


@pytest.fixture
def refused():
    """Checks a result of `animate`: one sentence with these words, exit code 2, no traceback and no output."""

    def check(result: tuple[int, str, Path], *words: str) -> None:
        code, said, output = result
        assert code == 2, said
        assert "Traceback" not in said
        assert said.count("Error:") == 1
        error = said.partition("Error:")[2]
        assert all(word in error for word in words), error
        assert not output.exists()
        assert not list(output.parent.glob(".*")) if output.parent.exists() else True

    return check
