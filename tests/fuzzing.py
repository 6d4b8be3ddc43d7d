"""Damaged files by the thousand: each is read, or refused in one sentence, in bounded time and memory.

    python tests/fuzzing.py --count 10000 --seed 0

A process of its own reads them, so that neither a crash nor an endless loop ends the run. What fails is kept in
`--keep`, with the traceback beside it.
"""

import argparse
import collections
import contextlib
import io
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LONGEST = 10  # seconds a file may take
MOST_MEMORY = 2 * 2**30  # bytes, of the process that reads
MOST_DAMAGE = 4  # places of a file


class Outcome(NamedTuple):
    """What became of a file."""

    case: str
    verdict: str  # "read", "refused", or what was wrong
    detail: str
    seconds: float
    memory: int  # bytes, the most so far


class Case(NamedTuple):
    """A kind of file: what a whole one holds, and what reads it."""

    suffix: str
    make: Callable[[Path], bytes]
    read: Callable[[Path], Any]


# -- Whole files -----------------------------------------------------------------------------------------------


def make_video(suffix: str, **settings: Any) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        from media_clips import make_clip

        return make_clip(folder / f"whole{suffix}", frames=12, size=(64, 64), **settings).read_bytes()

    return make


def make_picture(**settings: Any) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        from media_clips import moving_frames
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(next(moving_frames(1, 64, 80))).save(file, **settings)
        return file.getvalue()

    return make


def make_lora(folder: Path) -> bytes:
    from lora_files import FILE, write_lora

    return (write_lora(folder / "lora", tiny().unet) / FILE).read_bytes()


def make_shard(folder: Path) -> bytes:
    from diffusers_hunyuan_portrait.dataset import Clip, ClipWriter

    rng = np.random.default_rng(0)
    clip = Clip(
        frames=rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
        landmarks=rng.random((4, 5, 2)) * 32,
        face_boxes=np.tile([4.0, 4.0, 28.0, 28.0], (4, 1)),
        frame_rate=25.0,
        source={"path": "whole"},
    )
    with ClipWriter(folder / "clips", clips_per_shard=2) as writer:
        for _ in range(2):
            writer.write(clip)
    [shard] = (folder / "clips").glob("*.tar")
    return shard.read_bytes()


def make_motion(folder: Path) -> bytes:
    from fractions import Fraction

    import torch

    from diffusers_hunyuan_portrait.motion import DrivingMotion

    torch.manual_seed(0)
    frames = 12
    motion = DrivingMotion(
        expression=torch.randn(frames, 16),
        rotation=torch.randn(frames, 3),
        translation=torch.randn(frames, 3),
        landmarks=torch.rand(frames, 5, 2),
        timestamps=torch.arange(frames, dtype=torch.float64) / 25,
        levels=torch.tensor([[3, 5]]),
        held=torch.tensor([2, 3]),
        chunk_size=frames,
        frame_rate=Fraction(25),
        sound=Path("driving.mp4"),
        sound_span=(0.0, 0.48),
    )
    return motion.save(folder / "whole.safetensors").read_bytes()


def make_jobs(folder: Path) -> bytes:
    lines = ["portrait,driving,output,seed,driving-face"]
    lines += [f'people/{n}.png,"clips/{n}, in the rain.mp4",videos/{n}.mp4,{n},{n % 3 + 1}' for n in range(1, 9)]
    return "\n".join(lines).encode()


# -- What reads them -------------------------------------------------------------------------------------------


def read_picture(path: Path) -> None:
    from diffusers_hunyuan_portrait import media

    media.read_image(path)


def read_video(path: Path) -> None:
    """Every frame, and the sound into another file."""
    from diffusers_hunyuan_portrait import media

    clip = media.open_frames(path)
    if clip.path is None:
        return
    with media.VideoWriter(path.with_suffix(".out.mp4"), frame_rate=25, sound_from=clip.path) as writer:
        for _, frame in zip(range(200), clip, strict=False):
            writer.write(np.ascontiguousarray(frame[:64, :64]))


def read_lora(path: Path) -> None:
    from diffusers_hunyuan_portrait.loading import load_lora

    pipe = tiny()
    load_lora(pipe, str(path))
    pipe.unload_lora_weights()


def read_motion(path: Path) -> None:
    from diffusers_hunyuan_portrait.motion import DrivingMotion

    DrivingMotion.load(path)


def read_jobs(path: Path) -> None:
    from diffusers_hunyuan_portrait import jobs

    jobs.read_jobs(path, {"seed", "driving_face"})


def read_shard(path: Path) -> None:
    from diffusers_hunyuan_portrait.dataset import ClipShards

    path = path.rename(path.with_name("clips-000000.tar"))
    try:
        shards = ClipShards(path.parent)
        for index in range(len(shards)):
            shards[index]
    finally:
        path.unlink()


CASES = {
    "mp4": Case(".mp4", make_video(".mp4", sound=["aac"]), read_video),
    "webm": Case(".webm", make_video(".webm", video="libvpx-vp9", sound=["libopus"]), read_video),
    "mov": Case(".mov", make_video(".mov", video="libx265", pix_fmt="yuv420p10le"), read_video),
    "gif": Case(".gif", make_video(".gif", video="gif", pix_fmt="rgb8"), read_video),
    "png": Case(".png", make_picture(format="png"), read_picture),
    "jpeg": Case(".jpg", make_picture(format="jpeg", quality=90), read_picture),
    "webp": Case(".webp", make_picture(format="webp"), read_picture),
    "tiff": Case(".tif", make_picture(format="tiff", compression="tiff_lzw"), read_picture),
    "safetensors": Case(".safetensors", make_lora, read_lora),
    "motion": Case(".safetensors", make_motion, read_motion),
    "jobs": Case(".csv", make_jobs, read_jobs),
    "shard": Case(".tar", make_shard, read_shard),
}

_pipes: list[Any] = []


def tiny() -> Any:
    """The tiny pipeline, made once in each process."""
    if not _pipes:
        import torch

        from diffusers_hunyuan_portrait.tiny import make_tiny

        torch.set_num_threads(1)
        _pipes.append(make_tiny(torch.float32))
    return _pipes[0]


# -- Damage ----------------------------------------------------------------------------------------------------


def damage(whole: bytes, rng: np.random.Generator) -> bytes:
    """The same with a few places changed; half of them near the beginning, where files say what they are."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, MOST_DAMAGE + 1)):
        if not data:
            break
        reach = min(len(data), 512) if rng.random() < 0.5 else len(data)
        place, length = int(rng.integers(reach)), int(rng.integers(1, 65))
        match int(rng.integers(6)):
            case 0:
                data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[place : place + length] = rng.bytes(length)
            case 2:
                data[place : place + length] = bytes([rng.choice([0, 255])]) * length
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[place : place + length]
            case _:
                del data[place:]
    return bytes(data)


# -- The run ---------------------------------------------------------------------------------------------------


def most_memory() -> int:
    """Bytes. Not `ru_maxrss` on Linux, where that starts from what the parent process had."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.open() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def work(connection: Connection, folder: Path) -> None:
    """Reads what it is sent, (case, bytes), and answers with (verdict, detail, bytes of memory at most)."""
    from diffusers_hunyuan_portrait.errors import UserError

    while True:
        name, data = connection.recv()
        path = folder / f"damaged{CASES[name].suffix}"
        path.write_bytes(data)
        try:
            CASES[name].read(path)
            verdict, detail = "read", ""
        except UserError as error:
            detail = str(error)
            verdict = "refused" if detail and "\n" not in detail.strip() else "refused in more than a line"
        except BaseException:
            verdict, detail = "crashed", traceback.format_exc()
        left = [file.name for file in folder.iterdir() if file.name.startswith(".")]
        if left:
            verdict, detail = "left something behind", str(left)
        for file in folder.iterdir():
            file.unlink()
        connection.send((verdict, detail, most_memory()))


class Reader:
    """The process that reads, made anew where it has ended or hangs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._process = folder, None

    def read(self, name: str, data: bytes) -> Outcome:
        if self._process is None:
            self._start()
        started = time.monotonic()
        self._connection.send((name, data))
        try:
            answered = self._connection.poll(LONGEST)
            verdict, detail, memory = self._connection.recv() if answered else ("too slow", "", 0)
        except EOFError:
            verdict, detail, memory = "ended the process", "", 0
        if verdict in ("too slow", "ended the process"):
            self.stop()
        elif memory > MOST_MEMORY and verdict in ("read", "refused"):
            verdict, detail = "took too much memory", f"{memory / 2**20:.0f} MiB"
            self.stop()
        return Outcome(name, verdict, detail, time.monotonic() - started, memory)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self._process = context.Process(target=work, args=(theirs, folder), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.send(("png", b""))  # whatever is imported and made does not count against the first file
        self._connection.recv()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def fuzz(count: int, seed: int, folder: Path, keep: Path | None = None) -> Iterator[Outcome]:
    """What becomes of each of `count` damaged files, of all kinds in turn."""
    wholes = {}
    for name, case in CASES.items():
        (folder / name).mkdir()
        wholes[name] = case.make(folder / name)
    with contextlib.closing(_Closing(Reader(folder))) as closing:
        for index in range(count):
            name = list(CASES)[index % len(CASES)]
            data = damage(wholes[name], np.random.default_rng([seed, index]))
            outcome = closing.reader.read(name, data)
            if keep is not None and outcome.verdict not in ("read", "refused"):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{index}{CASES[name].suffix}").write_bytes(data)
                (keep / f"{seed}-{index}.txt").write_text(f"{outcome.verdict}\n{outcome.detail}\n")
            yield outcome


class _Closing:
    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def close(self) -> None:
        self.reader.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="files in all (10,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzzing-failures"), help="folder for what fails")
    options = parser.parse_args()
    verdicts: collections.Counter[tuple[str, str]] = collections.Counter()
    slowest, most = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number, outcome in enumerate(fuzz(options.count, options.seed, Path(folder), options.keep), start=1):
            verdicts[outcome.case, outcome.verdict] += 1
            slowest, most = max(slowest, outcome.seconds), max(most, outcome.memory)
            if number % 500 == 0 or number == options.count:
                print(f"{number} of {options.count}", file=sys.stderr)
    for (case, verdict), number in sorted(verdicts.items()):
        print(f"{case}: {number} {verdict}")
    print(f"slowest {slowest:.1f} s, most memory {most / 2**20:.0f} MiB")
    return int(any(verdict not in ("read", "refused") for _, verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
