"""A run over the pairs makes videos as `animate` does and holds them against the truth."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait import evaluation
from diffusers_hunyuan_portrait.evaluation import figures
from diffusers_hunyuan_portrait.evaluation.run import INPUT_SIZE, WITHOUT_PADDING, animate_pair

SIZE = 64


@pytest.fixture(scope="module")
def pairs():
    """Two pairs, cut to four frames."""
    return [dataclasses.replace(pair, driving=pair.driving[::6]) for pair in evaluation.make_pairs(2)]


@pytest.fixture(scope="module")
def small_pipeline(tiny_pipeline):
    """The tiny pipeline, with a motion extractor as tiny."""
    extractor = hp.MotionExtractor(
        image_size=64,
        expression_depths=(1, 1),
        expression_width=8,
        expression_dim=16,
        head_pose_depths=(1, 1),
        head_pose_width=8,
        head_pose_groups=4,
        num_memories=4,
        width=16,
        num_blocks=1,
        num_heads=2,
        intensity_embed_dim=16,
        refined_dim=tiny_pipeline.motion_extractor.config.refined_dim,
    )
    components = {**tiny_pipeline.components, "motion_extractor": extractor}
    return hp.HunyuanPortraitPipeline(**components, resolution=SIZE)


class KnowingPipeline:
    """Makes exactly what the driving clip asks for: it finds out by comparing the pictures that it is given."""

    config = SimpleNamespace(resolution=SIZE)

    def __init__(self, pairs):
        self.truth = {pair.draw_driving(INPUT_SIZE).tobytes(): pair.draw_truth(SIZE) for pair in pairs}

    def prepare_conditions(self, image, driving_video, **settings):
        return self.truth[driving_video.tobytes()]

    def __call__(self, conditions, **settings):
        return SimpleNamespace(frames=conditions[None] / 255)


class DarknessReader:
    """Stands in for a reader: what it reads is a picture's mean, which differs from picture to picture."""

    def read(self, frames):
        mean = frames.mean(axis=(1, 2, 3), keepdims=True)[..., 0, 0] / 255
        identity_size = len(evaluation.make_pairs(1)[0].identity.names())
        return np.repeat(mean, 13, axis=1), np.repeat(mean, identity_size, axis=1)


def test_a_perfect_model_has_the_truths_figures(pairs):
    told = []
    pipe = KnowingPipeline(pairs + evaluation.with_other_motion(pairs))
    summary = evaluation.evaluate(pipe, pairs, DarknessReader(), on_progress=lambda *report: told.append(report))
    assert summary.rows[figures.RESULT] == summary.rows[figures.TRUTH]
    assert summary.rows[figures.CONTROL].psnr < 30  # another motion is another video
    assert told == [("evaluate", 1, 2), ("evaluate", 2, 2)]


def test_the_control_can_be_left_out(pairs):
    summary = evaluation.evaluate(KnowingPipeline(pairs), pairs, DarknessReader(), control=False)
    assert figures.CONTROL not in summary.rows
    assert summary.control is None


def test_stand_ins_need_no_model(pairs):
    rows = evaluation.evaluate_stand_ins(pairs, DarknessReader(), SIZE).rows
    assert rows[figures.TRUTH].psnr == figures.HIGHEST_PSNR > rows[figures.REPEATED].psnr
    assert rows[figures.REPEATED].change == 0
    assert rows[figures.REPEATED].all == 1


def test_a_pair_is_animated_as_the_pipeline_does_from_pictures(small_pipeline, pairs):
    pair = pairs[0]
    settings = {"num_inference_steps": 2, "window_size": 8, "window_overlap": 0}
    frames = animate_pair(small_pipeline, pair, seed=3, **settings)
    direct = small_pipeline(
        pair.draw_portrait(INPUT_SIZE),
        pair.draw_driving(INPUT_SIZE),
        detector=pair.detector(),
        generator=torch.Generator().manual_seed(3),
        output_type="np",
        **settings,
    ).frames[0]
    assert frames.shape == (4, SIZE, SIZE, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, (direct * 255).round().astype(np.uint8))


def test_padding_can_be_left_out(small_pipeline, pairs, monkeypatch):
    seen, forward = [], small_pipeline.unet.forward

    def watched(sample, *args, **kwargs):
        seen.append(sample.shape[1])
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(small_pipeline.unet, "forward", watched)
    frames = animate_pair(small_pipeline, pairs[0], num_inference_steps=1, **{**WITHOUT_PADDING, "window_size": 4})
    assert len(frames) == 4
    assert set(seen) == {4}
