"""What the controls of the motion do to what the shipped model makes, as the reader sees it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.drawn_faces import Motion
from diffusers_hunyuan_portrait.evaluation import MotionReader, make_pairs
from diffusers_hunyuan_portrait.evaluation.run import INPUT_SIZE, WITHOUT_PADDING
from diffusers_hunyuan_portrait.progress import no_progress

READER = Path(__file__).parents[2] / "recipes" / "drawn_faces" / "reader.safetensors"
NUM_PAIRS = 3
TURNS = [Motion.names().index(name) for name in ("yaw", "pitch", "roll")]
PLACE = [Motion.names().index(name) for name in ("x", "y", "size")]
FACE = [index for index in range(len(Motion.names())) if index not in TURNS + PLACE]


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("drawn-faces")


@pytest.fixture(scope="module")
def read(pipe):
    """Motion (pairs, F, 13) and identity (pairs, n) of what is made by these settings."""
    reader, made = MotionReader.load(READER), {}

    def make(motion_scale: float = 1.0, **settings) -> tuple[np.ndarray, np.ndarray]:
        key = motion_scale, *settings.items()
        if key not in made:
            motions, identities = zip(
                *(reader.read(animate(pair, motion_scale, settings)) for pair in PAIRS), strict=True
            )
            made[key] = np.stack(motions), np.stack(identities).mean(axis=1)
        return made[key]

    def animate(pair, motion_scale, settings):
        conditions = pipe.prepare_conditions(
            pair.draw_portrait(INPUT_SIZE),
            pair.draw_driving(INPUT_SIZE),
            detector=pair.detector(),
            pad_frames=WITHOUT_PADDING["pad_frames"],
            on_progress=no_progress,
            **settings,
        )
        result = pipe(
            conditions=conditions,
            motion_scale=motion_scale,
            num_inference_steps=4,
            appearance_guidance_scale=1.0,
            motion_guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
            on_progress=no_progress,
            **{name: value for name, value in WITHOUT_PADDING.items() if name != "pad_frames"},
        )
        return (result.frames[0] * 255).round().astype(np.uint8)

    return make


PAIRS = make_pairs(NUM_PAIRS, "validation")
ONLY_FACE = {"head": "relative", "head_scale": 0.0, "crop": "each"}


def moved(motion: np.ndarray, parameters: list[int]) -> float:
    """By how much parameters change over a clip, in parts of their ranges."""
    return float(motion[:, :, parameters].std(axis=1).mean())


def test_more_strength_moves_more(read):
    weak, usual, strong = (moved(read(scale)[0], TURNS + PLACE) for scale in (0.4, 1.0, 1.4))
    assert weak < 0.8 * usual
    assert strong > 1.02 * usual


def test_a_head_that_is_off_keeps_still_and_the_face_goes_on(read):
    usual, still = read()[0], read(**ONLY_FACE)[0]
    assert moved(still, TURNS) < 0.35 * moved(usual, TURNS)
    assert moved(still, PLACE) < 0.5 * moved(usual, PLACE)
    assert moved(still, FACE) > 0.6 * moved(usual, FACE)


def test_half_a_head_is_between(read):
    still, half, usual = (moved(read(head="relative", head_scale=scale)[0], TURNS) for scale in (0.0, 0.5, 1.0))
    assert still < half < usual


@pytest.mark.parametrize("settings", [{"motion_scale": 0.4}, {"motion_scale": 1.4}, ONLY_FACE], ids=str)
def test_the_person_stays(read, settings):
    """As far as from one model's picture to another's of the same person: much nearer than to other people."""
    usual, changed = read()[1], read(**settings)[1]
    others = np.roll(usual, 1, axis=0)
    assert np.abs(changed - usual).mean() < 0.5 * np.abs(others - usual).mean()
