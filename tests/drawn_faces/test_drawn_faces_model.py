"""The shipped model animates as well as when its figures were measured, in Python and on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.cli.main import app
from diffusers_hunyuan_portrait.evaluation import MotionReader, evaluate, make_pairs
from diffusers_hunyuan_portrait.evaluation.figures import CONTROL, REPEATED, RESULT
from diffusers_hunyuan_portrait.evaluation.run import WITHOUT_PADDING
from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter

RECIPE = Path(__file__).parents[2] / "recipes" / "drawn_faces"
SHIPPED = json.loads((RECIPE / "regression.json").read_text())
SAMPLING = SHIPPED["sampling"]
NUM_PAIRS = 5
# How far the figures of one seed lie from the mean of several, in deviations that are known from a few seeds only.
TOLERANCE = 4
SIZE = 128


@pytest.fixture(scope="module")
def figures():
    pairs, reader = make_pairs(NUM_PAIRS), MotionReader.load(RECIPE / "reader.safetensors")
    return evaluate(load_pipeline("drawn-faces"), pairs, reader, **SAMPLING, **WITHOUT_PADDING)


@pytest.mark.parametrize("name", SHIPPED["figures"])
def test_five_pairs_come_out_as_when_it_was_shipped(figures, name):
    mean, deviation = SHIPPED["figures"][name]["mean"], SHIPPED["figures"][name]["deviation"]
    assert getattr(figures.rows[RESULT], name) == pytest.approx(mean, abs=TOLERANCE * deviation)


def test_it_is_the_driving_clip_that_moves_the_portrait(figures):
    """Another's motion is much further off, and so is the portrait repeated; of the head and of the face."""
    assert figures.rows[CONTROL].head >= 2 * figures.rows[RESULT].head
    assert figures.rows[RESULT].head < 0.45 * figures.rows[REPEATED].head
    assert figures.rows[CONTROL].face >= 1.3 * figures.rows[RESULT].face
    assert figures.rows[RESULT].face < 0.7 * figures.rows[REPEATED].face
    assert figures.psnr_gain > 3


def test_the_command_animates_a_drawn_portrait(tmp_path):
    """Through files, the bundled detector and paste-back: nearer to the truth than the portrait repeated."""
    pair = make_pairs(NUM_PAIRS)[0]
    Image.fromarray(pair.draw_portrait(SIZE)).save(tmp_path / "portrait.png")
    with VideoWriter(tmp_path / "driving.mp4", frame_rate=25) as video:
        for frame in pair.draw_driving(SIZE):
            video.write(frame)
    portrait, driving, output = (str(tmp_path / name) for name in ("portrait.png", "driving.mp4", "animated.mp4"))
    words = ["animate", portrait, driving, "--output", output, "--model", "drawn-faces", "--seed", "0"]
    words += ["--steps", "10", "--appearance-guidance-scale", "1", "--motion-guidance-scale", "1"]
    assert CliRunner().invoke(app, words).exit_code == 0
    animated, truth = np.stack(list(VideoReader(output))), pair.draw_truth(SIZE)
    assert animated.shape == truth.shape
    repeated = np.broadcast_to(pair.draw_portrait(SIZE), truth.shape)
    assert _squared_error(animated, truth) < 0.7 * _squared_error(repeated, truth)


def _squared_error(clip: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square(clip.astype(float) - truth).mean())
