"""Skeletons on the command line, by small networks in place of DWPose's."""

import csv

import pytest
from astronaut import SHORT
from dwpose_files import dotted_frames, dotted_portrait, write_dwpose
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter
from diffusers_hunyuan_portrait.motion import DrivingMotion

FOR_TRAINED = "skeletons are for weights that were trained with them"


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A portrait and a clip with a dot on the nose, by which the stand-ins know a person."""
    folder = tmp_path_factory.mktemp("dotted")
    Image.fromarray(dotted_portrait()).save(folder / "portrait.png")
    with VideoWriter(folder / "driving.mp4", frame_rate=25) as writer:
        for frame in dotted_frames(SHORT):
            writer.write(frame)
    return folder


@pytest.fixture(scope="module")
def dwpose(tmp_path_factory):
    return write_dwpose(tmp_path_factory.mktemp("dwpose"))


def test_skeletons_change_the_video_which_is_the_same_from_a_motion(command, animate, media, dwpose, tmp_path):
    skeletons = "--pose", "dwpose", "--pose-path", dwpose, "--no-provenance"
    videos = {}
    for name, options in {
        "default": ("--no-provenance",),
        "none": ("--no-provenance", "--pose", "none"),
        "dwpose": skeletons,
        "eyes": (*skeletons, "--pose-eyes"),
    }.items():
        code, said, video = animate(*options, output=tmp_path / f"{name}.mp4")
        assert code == 0, said
        assert said.count(FOR_TRAINED) == (1 if "dwpose" in options else 0)
        videos[name] = video.read_bytes()
    assert videos["default"] == videos["none"]
    assert len(set(videos.values())) == 3

    motion = tmp_path / "motion.safetensors"
    words = media / "driving.mp4", "-o", motion, "--model", "tiny", "--detector", "mtcnn"
    code, said = command("extract", *words, *skeletons[:4])
    assert code == 0, said
    assert DrivingMotion.load(motion).keypoints.shape == (SHORT, 134, 3)
    code, said, video = animate(*skeletons, driving=motion, output=tmp_path / "again.mp4")
    assert code == 0, said
    assert video.read_bytes() == videos["dwpose"]


def test_the_environment_names_the_files(animate, dwpose, monkeypatch):
    monkeypatch.setenv("HUNYUAN_PORTRAIT_DWPOSE", str(dwpose))
    code, said, video = animate("--pose", "dwpose")
    assert code == 0, said
    assert VideoReader(video).frame_count == SHORT


def test_rounds_of_a_clip_have_their_skeletons(animate, dwpose):
    code, said, video = animate("--pose", "dwpose", "--pose-path", dwpose, "--loop", 2, "--boomerang")
    assert code == 0, said
    assert VideoReader(video).frame_count == 2 * (2 * SHORT - 2)


def test_many_videos_share_one_estimator(command, media, dwpose, tmp_path):
    for name in ("portrait.png", "driving.mp4"):
        (tmp_path / name).write_bytes((media / name).read_bytes())
    with (tmp_path / "jobs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["portrait", "driving", "output", "steps", "seed", "pose-eyes"])
        rows.writerow(["portrait.png", "driving.mp4", "a.mp4", 1, 3, "no"])
        rows.writerow(["portrait.png", "driving.mp4", "b.mp4", 1, 3, "yes"])
    words = tmp_path / "jobs.csv", "--model", "tiny", "--detector", "mtcnn"
    code, said = command("batch", *words, "--pose", "dwpose", "--pose-path", dwpose)
    assert code == 0, said
    assert said.count(FOR_TRAINED) == 1
    assert (tmp_path / "a.mp4").exists()
    assert (tmp_path / "b.mp4").exists()


def test_what_cannot_be_is_one_sentence_before_the_model_is_loaded(
    command, animate, media, refused, dwpose, tmp_path
):
    nowhere = {"model": "/nowhere"}
    refused(animate("--pose", "openpose", **nowhere), "no pose 'openpose'")
    refused(animate("--pose-eyes", **nowhere), "only where there is one")
    refused(animate("--pose", "dwpose", "--expression-only", **nowhere), "cannot be turned otherwise")
    refused(animate("--pose", "dwpose", "--pose-path", tmp_path, **nowhere), "There is no file", "yolox_l.onnx")
    refused(animate("--pose-path", dwpose, **nowhere), "Without a pose its files are not needed")
    motion = tmp_path / "motion.safetensors"
    code, said = command("extract", media / "driving.mp4", "-o", motion, "--model", "tiny", "--detector", "mtcnn")
    assert code == 0, said
    refused(animate("--pose", "dwpose", driving=motion, **nowhere), "has no key points", "--pose dwpose")


def test_the_help_says_whom_it_is_for(command):
    _, said = command("animate", "--help")
    assert "--pose-path" in said
    assert "for weights that were trained with them" in " ".join(said.replace("│", " ").split())
