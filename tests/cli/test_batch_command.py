"""Many jobs on the command line: what is done or fails is skipped, and the model is loaded once."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astronaut import portrait_picture
from PIL import Image

from diffusers_hunyuan_portrait.cli import making
from diffusers_hunyuan_portrait.media import VideoReader
from diffusers_hunyuan_portrait.pipeline import HunyuanPortraitPipeline

QUICK = {"steps": 1, "height": 64, "width": 64, "seed": 3, "crop_only": "yes"}


@pytest.fixture
def folder(media, tmp_path) -> Path:
    """With a portrait, another, and a clip."""
    for name in ("portrait.png", "driving.mp4"):
        (tmp_path / name).write_bytes((media / name).read_bytes())
    Image.fromarray(portrait_picture()[:, ::-1]).save(tmp_path / "mirrored.png")
    return tmp_path


def write_table(folder: Path, jobs: list[dict]) -> Path:
    table = folder / "jobs.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, {name: None for job in jobs for name in job}.keys())
        writer.writeheader()
        writer.writerows(jobs)
    return table


def job(output: str, **words) -> dict:
    return {"portrait": "portrait.png", "driving": "driving.mp4", "output": output} | QUICK | words


@pytest.fixture
def batch(command):
    def call(table, *options):
        return command("batch", table, "--model", "tiny", "--detector", "mtcnn", *options)

    return call


def test_what_is_missing_is_made(batch, folder, monkeypatch):
    loads, motions = [], []
    load, read = making.load_pipeline, HunyuanPortraitPipeline.prepare_motion
    monkeypatch.setattr(making, "load_pipeline", lambda *args, **kwargs: loads.append(1) or load(*args, **kwargs))
    monkeypatch.setattr(
        HunyuanPortraitPipeline, "prepare_motion", lambda *args, **kw: motions.append(1) or read(*args, **kw)
    )
    table = write_table(
        folder, [job("one.mp4"), job("two.mp4", portrait="mirrored.png"), job("three.mp4", end="0.1")]
    )
    code, said = batch(table)
    assert code == 0, said
    assert [VideoReader(folder / name).frame_count for name in ("one.mp4", "two.mp4", "three.mp4")] == [6, 6, 3]
    assert (len(loads), len(motions)) == (1, 2)  # two portraits share a motion
    before = (folder / "one.mp4").stat().st_mtime_ns
    (folder / "two.mp4").unlink()
    code, said = batch(table)
    assert code == 0, said
    assert "3 jobs, of which 2 are done" in said
    assert (folder / "two.mp4").is_file()
    assert (folder / "one.mp4").stat().st_mtime_ns == before
    code, said = batch(table)
    assert code == 0
    assert len(loads) == 2  # nothing is loaded for nothing


def test_a_job_makes_what_animate_makes(batch, animate, folder):
    words = {"motion_guidance_scale": "1:2", "loop": 2, "quality": 0}  # 0 is lossless
    table = write_table(folder, [job("batch.mp4", compare="beside.mp4", **words)])
    assert batch(table)[0] == 0
    assert (folder / "beside.mp4").is_file()
    options = ["--height", 64, "--width", 64, "--crop-only", "--motion-guidance-scale", "1:2", "--loop", 2]
    options += ["--quality", 0]
    code, said, output = animate(*options, output=folder / "animate.mp4")
    assert code == 0, said
    made, other = (np.stack(list(VideoReader(path))).astype(int) for path in (output, folder / "batch.mp4"))
    assert made.shape == other.shape
    assert np.abs(made - other).max() == 0


def test_jobs_have_a_blend_and_a_watermark_each(batch, command, folder):
    """The small square cannot bear a mark; the whole portrait can, where its face alone is noise."""
    jobs = [
        job("linear.mp4", crop_only="no", quality=0),
        job("ellipse.mp4", crop_only="no", quality=0, blend="ellipse", match_colour="yes", watermark="yes"),
        job("small.mp4", watermark="yes"),
        job("alone.mp4", blend="poisson"),
    ]
    code, said = batch(write_table(folder, jobs))
    assert code == 1
    assert "2 of 4 failed" in said
    assert "small.mp4: Frames of 64x64 pixels are too small to bear the watermark" in said
    assert "alone.mp4: The square alone is not blended" in said
    portrait = portrait_picture()[120:170, 110:130].astype(int)
    frames = [next(iter(VideoReader(folder / name)))[120:170, 110:130] for name in ("linear.mp4", "ellipse.mp4")]
    off = [np.abs(frame - portrait).mean() for frame in frames]
    assert off[0] > 3 * off[1]


def test_failures_are_listed_and_skipped(batch, folder):
    jobs = [
        job("a.mp4", portrait="nobody.png"),
        job("b.mp4"),
        job("c.txt"),
        job("d.mp4", steps=0),
        job("e.mp4", steps="many"),
        job("f.mp4", crop_only="perhaps"),
    ]
    code, said = batch(write_table(folder, jobs))
    assert code == 1
    assert "5 of 6 failed" in said
    for words in (
        "line 2, a.mp4: ",
        "nobody.png does not exist",
        "line 4, c.txt",
        "line 5, d.mp4",
        "--steps",
        "yes or no",
    ):
        assert words in said
    assert "Traceback" not in said
    assert sorted(path.name for path in folder.glob("?.*")) == ["b.mp4"]


def test_a_bad_table_is_one_sentence(batch, folder):
    code, said = batch(write_table(folder, [job("a.mp4", model="tiny")]))
    assert code == 2
    assert "column 'model'" in said
    code, said = batch(write_table(folder, [job("../a.mp4")]))
    assert code == 2
    assert "leads out of its folder" in said


def test_a_killed_batch_goes_on(folder):
    """Thirty jobs, five of them bad, killed in the middle by a signal that nothing can catch."""
    jobs = [
        job(f"{number}.mp4", portrait="nobody.png" if number % 6 == 5 else "portrait.png") for number in range(30)
    ]
    table = write_table(folder, jobs)
    words = [sys.executable, "-m", "diffusers_hunyuan_portrait", "batch", str(table), "--model", "tiny"]
    words += ["--detector", "mtcnn"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 300
    while len(list(folder.glob("[0-9]*.mp4"))) < 8:
        assert first.poll() is None, first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    said = first.communicate()[1]
    done = len(list(folder.glob("[0-9]*.mp4")))
    assert 8 <= done < 25
    second = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert second.returncode == 1, second.stderr
    assert f"30 jobs, of which {done} are done" in " ".join(second.stderr.split())
    assert said.count("Faces by") + second.stderr.count("Faces by") == 2  # the networks were loaded twice in all
    videos = sorted(folder.glob("[0-9]*.mp4"))
    assert len(videos) == 25
    for video in videos:
        assert len(list(VideoReader(video))) == 6
    assert not list(folder.glob(".hunyuan-portrait-*"))
