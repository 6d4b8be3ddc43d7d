"""The switches of `animate` that trade the picture for speed or memory, and those that must not change it."""

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from astronaut import SHORT
from lora_files import write_lora
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoReader
from diffusers_hunyuan_portrait.tiny import make_tiny

# Levels of 255: rounded otherwise, luma and chroma may differ by one each, and a colour made of them by 4.
ROUNDED = 4


@pytest.fixture
def video(animate, tmp_path):
    """The bytes of the video that `animate` writes with these options, two steps long, the square alone."""

    def write(*options: object) -> bytes:
        file = tmp_path / "switched.mp4"
        code, said, _ = animate("--steps", 2, "--crop-only", "--no-provenance", *options, output=file)
        assert code == 0, said
        return file.read_bytes()

    return write


@pytest.fixture
def lora(tmp_path):
    return write_lora(tmp_path / "lora", make_tiny(torch.float32).unet)


@pytest.mark.parametrize(
    "options",
    [
        ["--weights", "fp8"],
        ["--solver", "dpm++2m"],
        ["--cache-interval", 2],
        ["--guidance-interval", "0:5"],
        ["--smooth"],
        ["--crop", "follow"],
    ],
)
def test_an_approximation_changes_the_picture(video, options):
    assert video(*options) != video()


def test_int8_weights_change_the_picture(video):
    pytest.importorskip("torchao", reason="torchao is an extra, and says much on every import without a GPU")
    assert video("--weights", "int8") != video()


def test_int8_weights_without_torchao_are_refused(animate, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    refused(animate("--weights", "int8"), "torchao", "pip install")


def test_a_lora_changes_the_picture(video, lora):
    assert video("--lora", lora) != video()


@pytest.mark.parametrize(
    ("options", "same"),
    [
        (["--weights", "none"], []),
        (["--solver", "euler"], []),
        (["--cache-interval", 1], []),
        (["--guidance-interval", "0:1000"], []),
        # No step is at so much noise, so none is guided.
        (
            ["--guidance-interval", "5000:6000"],
            ["--appearance-guidance-scale", 1, "--motion-guidance-scale", 1],
        ),
        (["--detect-every", 1], []),
        (["--driving-face", "left", "--portrait-face", "1", "--crop", "first"], []),  # there is one
    ],
)
def test_what_changes_nothing_writes_the_same_file(video, options, same):
    assert video(*options) == video(*same)


@pytest.mark.parametrize(
    ("options", "frames", "rate"),
    [
        (["--start", "0.05"], SHORT - 2, Fraction(30000, 1001)),
        (["--end", "0:00.1"], 3, Fraction(30000, 1001)),
        (["--fps", "12.5"], 3, Fraction(25, 2)),
        (["--loop", 2], 2 * SHORT, Fraction(30000, 1001)),
        (["--boomerang"], 2 * SHORT - 2, Fraction(30000, 1001)),
    ],
)
def test_parts_rates_and_rounds_of_the_clip(animate, options, frames, rate):
    code, said, output = animate(*options)
    assert code == 0, said
    written = VideoReader(output)
    assert (written.frame_count, written.frame_rate) == (frames, rate)


def test_a_folder_of_pictures_drives(animate, media, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(VideoReader(media / "driving.mp4")):
        Image.fromarray(frame).save(folder / f"{number}.png")
    code, said, output = animate(driving=folder)
    assert code == 0, said
    assert (VideoReader(output).frame_count, VideoReader(output).frame_rate) == (SHORT, 25)


def test_a_background_shows_through_a_transparent_portrait(animate, media, tmp_path):
    cut_out = Image.open(media / "portrait.png").convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (400, 0, 512, 512))
    cut_out.save(tmp_path / "cut_out.png")
    code, said, output = animate("--background", "#00a040", portrait=tmp_path / "cut_out.png")
    assert code == 0, said
    (frame, *_) = VideoReader(output)
    np.testing.assert_allclose(frame[20:500, 440:500].mean(axis=(0, 1)), (0, 160, 64), atol=6)


def test_a_followed_face_drives_every_frame(animate):
    code, said, output = animate("--detect-every", 3)
    assert code == 0, said
    assert "No face was found" not in said
    assert len(list(VideoReader(output))) == SHORT


def test_compiled_blocks_write_the_same_video(animate, tmp_path):
    frames = []
    for options in ([], ["--compile"]):
        options += ["--crop-only", "--height", 64, "--width", 64, "--quality", 0]  # lossless
        code, said, output = animate(*options, output=tmp_path / f"{len(frames)}.mp4")
        assert code == 0, said
        frames.append(np.stack(list(VideoReader(output))).astype(int))
    assert np.abs(frames[0] - frames[1]).max() <= ROUNDED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", "fp4"], ["fp4", "int8"]),
        (["--solver", "runge"], ["runge", "dpm++2m"]),
        (["--cache-interval", 0], ["cache_interval", "0"]),
        (["--guidance-interval", "5"], ["--guidance-interval", "LOW:HIGH"]),
        (["--guidance-interval", "5:1"], ["guidance_interval"]),
        (["--guidance-interval", "a:b"], ["--guidance-interval", "a:b"]),
        (["--driving-face", "tallest"], ["tallest", "largest, left"]),
        (["--portrait-face", "nobody.png"], ["nobody.png", "picture of the person"]),
        (["--crop", "last"], ["last", "first, follow, each"]),
        (["--start", "soon"], ["--start", "soon", "MINUTES:SECONDS"]),
        (["--start", "0:02", "--end", "1.5"], ["must come after the start"]),
        (["--start", "7"], ["nothing is left from 7 s on"]),
        (["--fps", "fast"], ["--fps", "30000/1001"]),
        (["--fps", "0"], ["above 0"]),
        (["--background", "whitish"], ["whitish", "names no colour"]),
    ],
)
def test_a_senseless_switch_is_told_before_the_model_is_looked_for(animate, refused, options, words):
    refused(animate(*options, model="/nowhere"), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--portrait-face", 2], ["does not show the face that was chosen"]),
        (["--driving-face", 3], ["None of the 6 driving frames", "at most 1"]),
    ],
)
def test_a_face_that_is_not_there_is_told(animate, refused, options, words):
    refused(animate(*options), *words)


def test_a_lora_that_is_none_is_refused(animate, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    code, said, output = animate("--lora", empty)
    assert code == 2
    assert "No LoRA could be read from" in said
    assert "Traceback" not in said
    assert not output.exists()
