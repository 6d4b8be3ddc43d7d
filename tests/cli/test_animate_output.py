"""What `animate` writes: codecs, a comparison, a contact sheet, pictures."""

import numpy as np
import pytest
from astronaut import SHORT
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoReader


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.webm", []),
        ("out.mov", ["--codec", "prores"]),
        ("out.mp4", ["--codec", "h265", "--quality", 30]),
        ("out.mkv", ["--codec", "av1"]),
        ("out.gif", []),
    ],
)
def test_videos_of_all_kinds(animate, tmp_path, name, options):
    code, said, output = animate("--crop-only", *options, output=tmp_path / name)
    assert code == 0, said
    assert VideoReader(output).frame_count == SHORT


def test_pictures_in_a_folder(animate, tmp_path):
    code, said, output = animate("--crop-only", "--codec", "png", output=tmp_path / "frames")
    assert code == 0, said
    assert [file.name for file in sorted(output.iterdir())] == [f"{index:06d}.png" for index in range(SHORT)]


def test_a_comparison_and_a_contact_sheet(animate, media, tmp_path):
    beside = ["--compare", tmp_path / "compare.mp4", "--preview", tmp_path / "sheet.jpg"]
    code, said, output = animate(*beside)
    assert code == 0, said
    rows = list(VideoReader(tmp_path / "compare.mp4"))
    portrait = np.asarray(Image.open(media / "portrait.png")).astype(int)
    driver, result = next(iter(VideoReader(media / "driving.mp4"))), next(iter(VideoReader(output)))
    assert len(rows) == SHORT
    for place, picture in enumerate((portrait, driver, result)):
        seen = rows[0][:, 512 * place : 512 * (place + 1)]
        # Encoded twice, the result's noise of full colour is what 4:2:0 and CRF 17 keep worst.
        assert np.abs(seen.astype(int) - picture).mean() < (3 if place < 2 else 10)
    assert Image.open(tmp_path / "sheet.jpg").width == 4 * 320


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--codec", "divx"], ["divx", "h264, h265"]),
        (["--codec", "vp9", "--quality", 99], ["vp9", "99"]),
        (["--preview", "sheet.mp4"], ["sheet.mp4", ".png"]),
        (["--compare", "nowhere/there.mp4"], ["nowhere", "does not exist"]),
    ],
)
def test_what_cannot_be_written_is_told_before_the_model_is_looked_for(animate, tmp_path, options, words):
    code, said, output = animate(*options, model="/nowhere")
    assert code == 2
    assert "nowhere" not in said or "nowhere" in str(options)
    assert all(word in said for word in words), said
    assert not output.exists()


def test_a_motion_has_nothing_to_compare_with(animate, command, media, tmp_path):
    motion = tmp_path / "motion.safetensors"
    code, said = command("extract", media / "driving.mp4", "-o", motion, "--model", "tiny", "--detector", "mtcnn")
    assert code == 0, said
    code, said, _ = animate("--compare", tmp_path / "compare.mp4", driving=motion)
    assert code == 2
    assert "no pictures of its driver" in said


@pytest.mark.parametrize("blend", ["ellipse", "poisson"])
def test_a_blend_leaves_more_of_the_portrait(animate, media, tmp_path, blend):
    """Over the square's corner the linear mask lays noise; the mask about the face leaves it alone."""
    options = ["--blend", blend, "--match-colour", "--codec", "png"]
    code, said, output = animate(*options, output=tmp_path / "frames")
    assert code == 0, said
    portrait = np.asarray(Image.open(media / "portrait.png"))
    for file in output.iterdir():
        frame = np.asarray(Image.open(file))
        assert (frame[200:240, 120:140] == portrait[200:240, 120:140]).all()
        assert (frame[100:150, 205:245] != portrait[100:150, 205:245]).mean() > 0.8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--blend", "soft"], ["soft", "linear, ellipse, poisson"]),
        (["--blend", "ellipse", "--crop-only"], ["--crop-only", "--blend"]),
        (["--match-colour", "--crop-only"], ["--crop-only", "--match-colour"]),
    ],
)
def test_blends_that_cannot_be_are_told_before_the_model_is_looked_for(animate, refused, options, words):
    refused(animate(*options, model="/nowhere"), *words)
