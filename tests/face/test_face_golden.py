"""The crops, boxes and levels that the published program makes, through the public names."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from safetensors.torch import load_file
from synthetic import GOLDEN

from diffusers_hunyuan_portrait import face

SHARED = Path(__file__).parents[3] / "shared"


def assert_same_pixels(actual, expected) -> None:
    """Within 1 of 255 in 99.9 % of pixels: another Pillow may round a few of them the other way."""
    difference = np.abs(np.asarray(actual, dtype=int) - np.asarray(expected, dtype=int))
    assert difference.shape == np.shape(expected)
    assert (difference <= 1).mean() >= 0.999


def in_8_bits(crops) -> np.ndarray:
    """Crops in [0, 1] as the 8-bit pixels they were made from; other values than those fail."""
    scaled = crops.numpy() * 255
    assert np.abs(scaled - scaled.round()).max() < 1e-4  # float32 keeps a 255th to 1e-5
    return scaled.round().astype(np.uint8)


def assert_portrait_matches(crops: face.PortraitCrops, golden: dict, step: int) -> None:
    assert list(crops.box) == golden["crop_bbox"].tolist()
    assert_same_pixels(crops.image.transpose(2, 0, 1)[:, ::step, ::step], golden["ref_img"])
    # One step of 255 is 0.017 here; the same pixels through the same resize differ by float32 rounding only.
    assert (crops.dino_image[0, :, ::step, ::step] - golden["dino_image"]).abs().max() < 1e-3
    assert crops.arcface_image.dtype == np.float32
    assert np.abs(crops.arcface_image - golden["arcface_image"].numpy()).max() <= 2 / 255


def test_portrait_boxes_are_equal_for_200_faces(replay, make_face):
    for case in json.loads((GOLDEN / "portrait_boxes.json").read_text()):
        found = face.Face(case["face"], make_face().landmarks, 1.0)
        picture = np.broadcast_to(np.uint8(0), (case["height"], case["width"], 3))
        crops = face.crop_portrait(picture, replay([[found], [found]]), size=16, dino_size=14)
        assert list(crops.box) == case["portrait"]


def test_intensity_levels_are_equal_for_40_chunks():
    for case in json.loads((GOLDEN / "intensity_levels.json").read_text()):
        assert list(face.intensity_levels(case["landmarks"])) == case["levels_head_expression"]


def test_edges(recorded, mosaic, edge_frames):
    portrait_detector, clip_detector, detections = recorded(GOLDEN / "preprocess_edges_detections.json")
    golden = load_file(GOLDEN / "preprocess_edges.safetensors")

    portrait = face.crop_portrait(mosaic("edges/portrait", 45, 60, 15), portrait_detector)
    assert portrait_detector.asked == [(675, 900, 3), (512, 512, 3)]
    assert_portrait_matches(portrait, golden, step=2)

    clip = face.crop_driving(edge_frames, clip_detector)
    assert len(clip_detector.asked) == 6
    assert clip.lost_frames == []
    assert_same_pixels(in_8_bits(clip.face_crops[detections["kept_face_crops"]]), golden["face_crops"])
    assert_same_pixels(in_8_bits(clip.pose_crops[detections["kept_pose_crops"]]), golden["pose_crops"])
    assert [list(face.intensity_levels(clip.landmarks))] == golden["levels_head_expression"].tolist()


def test_sample(recorded):
    """The golden file holds pixels of the samples, and so stays outside the repository."""
    folder = SHARED / "reference" / "golden"
    if not folder.exists() and not os.environ.get("CI"):
        pytest.skip(
            f"the samples and their golden file are not at {SHARED}, and CI, which requires them, is not set"
        )
    portrait_detector, clip_detector, detections = recorded(folder / "preprocess_sample_detections.json")
    golden = load_file(folder / "preprocess_sample.safetensors")

    portrait = face.crop_portrait(next(frames_of("portrait.png")), portrait_detector)
    assert_portrait_matches(portrait, golden, step=1)

    clip = face.crop_driving(frames_of("driving.mp4"), clip_detector)
    kept = detections["kept_frames"]
    assert_same_pixels(in_8_bits(clip.face_crops[kept]), golden["face_crops"])
    assert_same_pixels(in_8_bits(clip.pose_crops[kept]), golden["pose_crops"])
    chunks = clip.landmarks.split(25)
    assert [list(face.intensity_levels(chunk)) for chunk in chunks] == golden["buckets_head_exp"].tolist()


def frames_of(sample: str) -> Iterator[np.ndarray]:
    with av.open(str(SHARED / "samples" / sample)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
