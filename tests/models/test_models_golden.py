"""The networks at their published sizes give the golden outputs; the UNet's is with the full-size conversion."""

import json

import pytest
import torch
from runs import NETWORK_BAR, distance, full_size, golden
from synthetic import GOLDEN, normal, uniform, unit

import diffusers_hunyuan_portrait as hp

pytestmark = pytest.mark.usefixtures("no_grad")


@pytest.fixture(scope="module")
def motion_extractor():
    return full_size(hp.MotionExtractor, "motion_extractor")


def test_expression(motion_extractor):
    faces = uniform("expression/public", (2, 3, 256, 256))
    expression = motion_extractor(faces, torch.zeros_like(faces), 0, 0).expression
    assert distance(expression, golden("expression")["out"]) < NETWORK_BAR


def test_head_pose(motion_extractor):
    heads = uniform("headpose/public", (2, 3, 256, 256))
    output = motion_extractor(torch.zeros_like(heads), heads, 0, 0)
    for name, expected in golden("headpose").items():
        assert distance(output[name], expected) < NETWORK_BAR


def test_refiner(motion_extractor):
    levels = torch.tensor(17), torch.tensor(90)
    refined = motion_extractor.refiner(normal("motion_proj/public", (2, 512)), *levels)
    assert distance(refined, golden("motion_proj")["out"]) < NETWORK_BAR


def test_motion_tokens_of_a_clip(motion_extractor, tiny_pipeline):
    """Two chunks, each with its own levels, and padding that fades at both ends."""
    pipe = hp.HunyuanPortraitPipeline(**{**tiny_pipeline.components, "motion_extractor": motion_extractor})
    detections = json.loads((GOLDEN / "preprocess_edges_detections.json").read_text())["frames"]
    tokens = pipe.encode_motion(
        uniform("motion_tokens/public/face", (4, 3, 256, 256)),
        uniform("motion_tokens/public/pose", (4, 3, 256, 256)),
        torch.tensor([detections[frame]["landmarks"] for frame in (0, 2, 3, 5)], dtype=torch.float64),
        chunk_size=3,
        pad_frames=3,
    )
    assert tokens.shape == (1, 10, 64, 1024)
    assert distance(tokens[:, :, ::8], golden("motion_tokens")["motion_tokens_every_8th"]) < NETWORK_BAR
    assert not tokens[0, 0].any()  # the padding begins with nothing of the first frame


def test_tiny_refiner(tiny_pipeline):
    levels = torch.tensor(33), torch.tensor(64)
    refined = tiny_pipeline.motion_extractor.refiner(normal("tiny_motion_proj/public", (4, 512)), *levels)
    assert distance(refined, golden("tiny_motion_proj")["out"]) < NETWORK_BAR


def test_pose_guider():
    pose_guider = full_size(hp.PoseGuider, "pose_guider")
    features = pose_guider(uniform("pose_guider/public", (1, 3, 2, 128, 128))).sample
    assert distance(features, golden("pose_guider")["out"]) < NETWORK_BAR


def test_image_tokens():
    im_adapter = full_size(hp.IMAdapter, "im_adapter")
    output = im_adapter(normal("dino/public/image", (1, 3, 224, 224)), unit("dino/public/id", (1, 1, 512))[:, 0])
    assert distance(output.hidden_states, golden("dino")["tokens"]) < NETWORK_BAR
    assert distance(output.image_tokens, golden("dino")["image_proj"]) < NETWORK_BAR


@pytest.mark.parametrize(
    ("network_class", "millions"),
    [
        (hp.HunyuanPortraitUNet, 1575.7),
        (hp.IMAdapter, 312.6),  # published with 313.7: positions of 37×37 patches, of which 16×16 are made
        (hp.MotionExtractor, 101.5),
        (hp.PoseGuider, 1.1),
    ],
)
def test_published_sizes_are_the_default(network_class, millions):
    with torch.device("meta"):
        network = network_class()
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
