"""`animate` on a new machine, as a user meets it: asked, stopped, waiting for another; and the runs after it."""

import io
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from astronaut import moving_frames, portrait_picture
from original_files import add_originals, size_of
from PIL import Image

from diffusers_hunyuan_portrait.cli import making
from diffusers_hunyuan_portrait.cli.main import run
from diffusers_hunyuan_portrait.convert.licences import LICENCES
from diffusers_hunyuan_portrait.hub.originals import PUBLISHED
from diffusers_hunyuan_portrait.loading import load_pipeline
from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter

COMMAND = "from diffusers_hunyuan_portrait.cli.main import run; run()"
PATIENCE = 90  # seconds; a run takes less than ten, on a machine with nothing else to do


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    Image.fromarray(portrait_picture()).save(folder / "portrait.png")
    with VideoWriter(folder / "driving.mp4", frame_rate=25) as writer:
        for frame in moving_frames(2):
            writer.write(frame)
    return folder / "portrait.png", folder / "driving.mp4"


@pytest.fixture
def environment(hub, home, config_folder) -> dict[str, str]:
    """Of a user whose Hub is ours, and who has nothing yet."""
    ours = ("HF_", "HUGGING", "HUNYUAN_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    settings["HUNYUAN_PORTRAIT_CONFIG"] = str(config_folder)
    return kept | settings


@pytest.fixture
def start(inputs, environment, tmp_path) -> Callable[..., subprocess.Popen]:
    """Starts `animate` on good files without a terminal; gives the process, which writes `out.mp4`."""

    def call(*options: str, code: str = COMMAND, output: str = "out.mp4", **changes: str) -> subprocess.Popen:
        words = [*map(str, inputs), "-o", str(tmp_path / output), "--steps", "1", "--detector", "mtcnn", *options]
        return subprocess.Popen(
            [sys.executable, "-c", code, "animate", *words],
            env=environment | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return call


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    return " ".join(said.split())


def wait_for(true: Callable[[], object]) -> None:
    stop = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < stop, "waited in vain"
        time.sleep(0.02)


def on_terminal(words: list[str], environment: dict[str, str], answer: bytes) -> tuple[int, str]:
    """Runs a command on a terminal of its own; answers its question; gives exit code and all it said."""
    ours, its = pty.openpty()
    process = subprocess.Popen(words, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # how a terminal says that its programs have ended
            break
        if b"[y/N]" in said and answer:
            os.write(ours, answer)
            answer = b""
    os.close(ours)
    return process.wait(timeout=PATIENCE), said.decode()


def test_the_first_run_asks_and_the_second_needs_nothing(hub, originals, environment, inputs, start, tmp_path):
    add_originals(hub, originals)
    output = tmp_path / "out.mp4"
    words = [sys.executable, "-c", COMMAND, "animate", *map(str, inputs), "-o", str(output), "--steps", "1"]
    code, said = on_terminal(words, environment | {"TERM": "xterm"}, b"y\n")
    assert code == 0, said
    told, question, rest = said.partition(f"Do you accept the licences of {PUBLISHED}? [y/N]")
    assert question
    assert all(licence.terms in told and licence.link in told for licence in LICENCES)
    assert "155 MB to fetch and 311 MB of disk in all" in told
    for stage in ("Fetching (MB)", "Checking (MB)", "Converting (MB)", "The model is ready in", "Denoising"):
        assert stage in rest
        assert stage not in told
    assert VideoReader(output).frame_count == 2
    assert hub.file_bytes() == sum(map(size_of, originals.values()))

    asked = len(hub.requests)
    output.unlink()
    said = finish(start())
    assert "Wrote" in said
    assert "licence" not in said
    assert VideoReader(output).frame_count == 2
    assert len(hub.requests) == asked


def test_stopped_in_the_middle_it_goes_on_from_there(hub, home, originals, start, client, notes):
    """By SIGTERM while fetching, by Ctrl-C while converting; then it ends well, and no byte was fetched twice."""
    add_originals(hub, originals)
    kept = 2 * 10_485_760  # bytes that the client hands on at a time; what it holds of the next is lost
    hub.cut(PUBLISHED, "expression.pth", after=kept + 1000)
    hub.cut(PUBLISHED, "expression.pth", after=0, times=100)  # the client tries again, for some seconds
    fetching = start("--accept-licences")
    wait_for(lambda: any(request.range == f"bytes={kept}-" for request in hub.requests))
    fetching.send_signal(signal.SIGTERM)
    said = finish(fetching)
    assert fetching.returncode == 143, said
    assert "Stopped. What was fetched stays, and the next run goes on from there." in said
    assert [part.stat().st_size for part in home.rglob("*.incomplete")] == [kept]

    hub.faults.clear()
    converting = start(code=SLOW_CONVERSION)
    while "converting" not in converting.stdout.readline():
        assert converting.poll() is None
    converting.send_signal(signal.SIGINT)
    said = finish(converting)
    assert converting.returncode == 130, said
    assert "Stopped. What was fetched stays" in said
    assert "Traceback" not in said
    assert [path.name for path in (home / "assets").rglob("*--HunyuanPortrait/*")] == ["main-v1.lock"]

    fetched = hub.file_bytes()
    assert fetched == sum(map(size_of, originals.values())) + 1000
    load_pipeline(PUBLISHED, torch.device("cpu"), torch.float32)
    assert "nothing more to fetch. Its licences were accepted on 20" in notes[0]
    assert hub.file_bytes() == fetched


# The command line, but for a conversion that takes a minute from its first report on.
SLOW_CONVERSION = f"""
import time
from diffusers_hunyuan_portrait.hub import originals

convert = originals.convert_checkpoint

def convert_slowly(*words, **options):
    def wait(stage, done, total):
        print("converting", flush=True)
        time.sleep(60)
    return convert(*words, **{{**options, "on_progress": wait}})

originals.convert_checkpoint = convert_slowly
{COMMAND}
"""


# The command line, but for a conversion that begins when the file GATE is there.
GATED_CONVERSION = f"""
import os, time
from diffusers_hunyuan_portrait.hub import originals

convert = originals.convert_checkpoint

def convert_later(*words, **options):
    print("converting", flush=True)
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.02)
    return convert(*words, **options)

originals.convert_checkpoint = convert_later
{COMMAND}
"""


def read_until(process: subprocess.Popen, words: str) -> str:
    """What it says until it has said these words, in one line."""
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, said
        said = " ".join(f"{said} {line}".split())
    return said


def test_of_two_at_once_one_fetches_and_converts(hub, originals, start, tmp_path):
    add_originals(hub, originals)
    gate = tmp_path / "gate"
    first = start("--accept-licences", output="a.mp4", code=GATED_CONVERSION, GATE=str(gate))
    said = [read_until(first, "converting")]
    second = start(output="b.mp4", HUNYUAN_PORTRAIT_ACCEPT_LICENCES="1")
    said.append(read_until(second, f"Another process is preparing {PUBLISHED}; waiting for it."))
    gate.touch()
    said = [f"{begun} {finish(process)}" for begun, process in zip(said, (first, second), strict=True)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert ["The model is ready in" in words for words in said] == [True, False]
    assert hub.file_bytes() == sum(map(size_of, originals.values()))
    assert {VideoReader(tmp_path / name).frame_count for name in ("a.mp4", "b.mp4")} == {2}


def animate_here(inputs, folder: Path, monkeypatch, capfd) -> tuple[int, str]:
    """Runs `animate` in this process, with the default model; gives the exit code and all it said."""
    monkeypatch.delenv("HUNYUAN_PORTRAIT_MODEL", raising=False)
    words = ["hunyuan-portrait", "animate", *map(str, inputs), "-o", str(folder / "out.mp4")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as leaving:
        run()
    return leaving.value.code, " ".join(capfd.readouterr().err.split())


def test_without_a_terminal_nobody_is_asked(hub, client, originals, inputs, tmp_path, monkeypatch, capfd):
    add_originals(hub, originals)
    monkeypatch.setenv("HUNYUAN_PORTRAIT_ACCEPT_LICENCES", "0")
    code, said = animate_here(inputs, tmp_path, monkeypatch, capfd)
    assert code == 2
    told, _, error = said.partition("Error: ")
    assert "155 MB to fetch" in told
    assert "add --accept-licences" in error
    assert "HUNYUAN_PORTRAIT_ACCEPT_LICENCES=1" in error
    assert hub.file_bytes() == 0


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_no_is_what_no_answer_means(hub, client, originals, inputs, tmp_path, monkeypatch, capfd, answer):
    add_originals(hub, originals)
    monkeypatch.setattr(making, "is_on_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    code, said = animate_here(inputs, tmp_path, monkeypatch, capfd)
    assert code == 2
    assert (
        said.partition("Error: ")[2] == f"The licences of {PUBLISHED} were not accepted, so nothing was fetched."
    )
    assert hub.file_bytes() == 0
