"""`animate` under `torchrun`: the processes share the run, and one video comes out."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from diffusers_hunyuan_portrait.evaluation import make_pairs
from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter

SIZE, NUM_FRAMES = 128, 6
LIMIT_S = 300


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A portrait and a driving clip, drawn."""
    folder, pair = tmp_path_factory.mktemp("launched"), make_pairs(1)[0]
    Image.fromarray(pair.draw_portrait(SIZE)).save(folder / "portrait.png")
    with VideoWriter(folder / "driving.mp4", frame_rate=25) as video:
        for frame in pair.draw_driving(SIZE)[:NUM_FRAMES]:
            video.write(frame)
    return folder


def animate(folder, output: str, *launcher: str) -> subprocess.CompletedProcess:
    words = ["animate", "portrait.png", "driving.mp4", "--output", output, "--model", "tiny", "--steps", "1"]
    command = [sys.executable, "-m", *launcher, "diffusers_hunyuan_portrait", *words, "--seed", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_two_processes_write_the_video_that_one_writes(inputs):
    alone = animate(inputs, "alone.mp4")
    shared = animate(inputs, "shared.mp4", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    assert (alone.returncode, shared.returncode) == (0, 0), shared.stderr
    assert shared.stderr.count("Wrote shared.mp4") == 1
    first, second = (np.stack(list(VideoReader(inputs / name))) for name in ("alone.mp4", "shared.mp4"))
    assert len(first) == NUM_FRAMES
    # Where latents differ by rounding, a pixel may be rounded otherwise, and the codec make more of it.
    assert np.abs(first.astype(int) - second).max() <= 3


def test_bad_input_is_told_and_nothing_is_written(inputs):
    (inputs / "damaged.png").write_bytes(b"nothing")
    words = ["animate", "damaged.png", "driving.mp4", "--output", "bad.mp4", "--model", "tiny"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    done = subprocess.run(
        [*launcher, "diffusers_hunyuan_portrait", *words],
        cwd=inputs,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode != 0
    assert "Error: " in done.stderr
    assert not (inputs / "bad.mp4").exists()
