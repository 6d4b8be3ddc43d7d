"""The demo page under test: `hunyuan-portrait demo` in a process of its own, and what is given to it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from examples_loading import load_example
from media_clips import make_clip
from PIL import Image

from diffusers_hunyuan_portrait.drawn_faces import draw
from diffusers_hunyuan_portrait.media import VideoWriter

PATIENCE = 120  # seconds for anything, as the machine of the tests may be slow and busy
FRAMES, RATE, SIDE = 12, 12, 256
RUN = "from diffusers_hunyuan_portrait.cli.main import run; run()"
ROOT = Path(__file__).parents[1]


class Media(NamedTuple):
    """Files that a visitor may have; the clips have sound."""

    portrait: Path
    driving: Path
    two_faces: Path
    two_faces_driving: Path
    no_face: Path
    not_a_picture: Path
    not_a_clip: Path
    long_clip: Path


def draw_media(folder: Path) -> Media:
    """Draws them, the same every time."""
    media = Media(
        folder / "portrait.png",
        folder / "driving.mp4",
        folder / "two.png",
        folder / "two.mp4",
        folder / "nobody.png",
        folder / "words.png",
        folder / "words.mp4",
        folder / "long.mp4",
    )
    pair = load_example("make_drawn_demo").make_pair()
    picture = pair.draw_portrait(SIDE)
    frames = [draw(pair.driver, motion, SIDE) for motion in pair.driving[:FRAMES]]
    Image.fromarray(picture).save(media.portrait)
    Image.fromarray(np.hstack([picture, frames[0]])).save(media.two_faces)
    Image.new("RGB", (SIDE, SIDE), (90, 120, 150)).save(media.no_face)
    for path in (media.not_a_picture, media.not_a_clip):
        path.write_text("neither a picture nor a video\n" * 50)
    sound = make_clip(folder / "sound.mp4", sound=["aac"], frames=FRAMES, rate=RATE)
    other = [draw(pair.identity, motion, SIDE) for motion in pair.truth[:FRAMES]]
    both = [np.hstack(pair) for pair in zip(frames, other, strict=True)]
    _write(media.driving, frames, RATE, sound)
    _write(media.two_faces_driving, both, RATE, sound)
    _write(media.long_clip, frames, Fraction(1, 2), None)
    return media


def _write(path: Path, frames: Sequence[np.ndarray], rate: int | Fraction, sound: Path | None) -> None:
    with VideoWriter(path, frame_rate=rate, sound_from=sound) as writer:
        for frame in frames:
            writer.write(frame)


class Server:
    """The page on a free port, of the drawn-faces model, until `close`.

    Attributes:
        address: where it is.
        folder: that it was started in; with a file that nobody is to read.
        temporary: what it may write to, with one folder in it, that for the visits.
        process: that serves it.
    """

    def __init__(self, folder: Path, *options: object) -> None:
        self.folder, self.temporary, self._log = folder, folder / "temporary", folder / "log.txt"
        self.temporary.mkdir(parents=True)
        self.secret = folder / "secret.txt"
        self.secret.write_text("nobody is to read this")
        self.address = f"http://127.0.0.1:{free_port()}"
        words = ["demo", "--port", self.address.rpartition(":")[2], "--model", "drawn-faces", *map(str, options)]
        self._file = self._log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            cwd=folder,
            env=environment() | {"TMPDIR": str(self.temporary)},
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: "The page is at" in self.said or self.process.poll() is not None, "the page is up")
            assert self.process.poll() is None, self.said
        except BaseException:
            self.close()
            raise

    @property
    def said(self) -> str:
        """What it has written to its terminal."""
        return self._log.read_text()

    @property
    def files(self) -> list[Path]:
        """What lies in its temporary folder."""
        return sorted(path for path in self.temporary.rglob("*") if path.is_file())

    def close(self) -> None:
        """Ends it as a service does."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._file.close()


def environment() -> dict[str, str]:
    """Of a process that runs this checkout's package, on one core."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(holds: Callable[[], Any], what: str) -> None:
    """Returns once it holds; fails after a while."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"not in {PATIENCE} s: {what}"
        time.sleep(0.05)


def chromium() -> str:
    """Debian's Chromium; where there is none the test is skipped, or fails if CI is set."""
    found = shutil.which("chromium")
    if found is None:
        sentence = "There is no chromium on the PATH; run .ci/fetch_browser to get it."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


def count_frames(path: Path) -> int:
    """Of a video, as decoded."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def has_sound(path: Path) -> bool:
    """Whether a video has any."""
    with av.open(str(path)) as container:
        return bool(container.streams.audio)
