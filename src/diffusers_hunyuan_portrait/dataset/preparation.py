"""From films to shards of clips: in many processes, going on where it stopped, with a report at the end.

Each film's clips are first kept apart, in a hidden folder of the output, with a record of what became of the film.
They are then copied into the shards in the films' order, so that neither the number of workers nor interruptions
make a difference to the shards. A film with a record is never read again.
"""

import json
import multiprocessing
import os
import shutil
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from huggingface_hub.utils import WeakFileLock

from ..errors import UserError
from ..face import Detector, load_detector, resolve_detector
from ..face.skeletons import PoseEstimator
from ..hub.converted import choose_variant, list_folder, read_index
from ..hub.dwpose import load_pose_estimator
from ..loading import choose_device
from ..media import VideoReader
from ..models import MotionExtractor
from ..poses import check_pose
from ..progress import Progress, no_progress
from .caches import add_expression, add_latents
from .clip import Clip
from .cutting import Refusal, Rules, cut_film
from .films import Film, find_films
from .shards import ClipShards, ClipWriter

NEAR_LOSSLESS = 14
REPORT = "report.json"
LOCK_WAIT = 1  # seconds


@dataclass(frozen=True)
class PrepareSettings:
    """How films are prepared; the same for all of an output.

    Args:
        rules: what a clip must be.
        crf: x264's quality of the stored frames, 0 (lossless) to 51.
        detector, detector_path: see `face.load_detector`.
        model: the folder of the model whose networks see the clips.
        latents: whether the VAE's latents are stored.
        expression: whether the numbers of expression and head pose are stored.
        anchors: the random frames of each clip that expressions are taken for.
        device: what networks run on, or "auto".
        pose: whether the key points of skeletons are stored: "none" or "dwpose".
        pose_path: see `hub.dwpose.load_pose_estimator`.

    Raises:
        UserError: a number is out of range, or the model is missing or not used, or there is no such pose.
    """

    rules: Rules = field(default_factory=Rules)
    crf: int = NEAR_LOSSLESS
    detector: str = "auto"
    detector_path: Path | None = None
    model: Path | None = None
    latents: bool = False
    expression: bool = False
    anchors: int = 4
    device: str = "auto"
    pose: str = "none"
    pose_path: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise UserError(f"The quality crf must be from 0 to 51, not {self.crf}.")
        if self.anchors < 1:
            raise UserError(f"Expressions need at least one anchor, not {self.anchors}.")
        if (self.latents or self.expression) != (self.model is not None):
            raise UserError("Latents and expressions are what a model is for: give both, or neither.")
        if self.model is not None:
            read_index(self.model)
        choose_device(self.device)
        check_pose(self.pose)

    def facts(self) -> dict[str, Any]:
        """What decides on the clips, as JSON holds it."""
        return {
            **asdict(self.rules),
            "crf": self.crf,
            "detector": resolve_detector(self.detector),
            "model": self.model and self.model.name,
            "latents": self.latents,
            "expression": self.expression,
            "anchors": self.anchors if self.expression else None,
            # None, as outputs that were begun before there were poses have it.
            "pose": None if self.pose == "none" else self.pose,
        }


def prepare(
    videos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: PrepareSettings | None = None,
    *,
    workers: int = 1,
    clips_per_shard: int = 64,
    on_progress: Progress = no_progress,
) -> dict[str, Any]:
    """Cut films into clips and store them in the shards of `output`, beside a `report.json`.

    What an earlier run has done is kept, and only what is missing is done. Copies of a film in another style,
    `NAME.style-X.mp4` beside `NAME.mp4` with as many frames of the same size, are cut along with it.

    Args:
        videos: a folder, searched with the folders in it; a .txt list of one path a line; or a film.
        output: the folder of the shards, made where it is missing.
        workers: processes; each keeps one clip in memory at a time, whatever the film's length.
        clips_per_shard: clips in a full shard.
        on_progress: told of the stage "films".

    Returns:
        What `report.json` has: `films`; `clips` with their `frames` and `seconds`; `refused`, the places and
        seconds by reason; `refusals`, of each the `video`, its `start` and `end` in seconds, `frames`, `reason`
        and `detail`; and `settings`.

    Raises:
        UserError: a path or setting is wrong, the output was made with other settings or is being written to by
            another run, or a worker ended.
    """
    settings = settings or PrepareSettings()
    load_pose_estimator(settings.pose, path=settings.pose_path)  # fetched once, before workers would all do so
    if workers < 1:
        raise UserError(f"There must be at least one worker, not {workers}.")
    films = find_films(Path(videos))
    output = Path(output)
    with _alone(output) as workspace:
        workspace.agree_on(settings)
        missing = [film for film in films if not workspace.record(film).is_file()]
        done = len(films) - len(missing)
        on_progress("films", done, len(films))

        def count() -> None:
            nonlocal done
            done += 1
            on_progress("films", done, len(films))

        job = partial(_prepare_film, workspace=workspace, settings=settings)
        with _working(job, missing, workers, count) as finish:
            _pack(films, finish, workspace, clips_per_shard)
        return _report(workspace, settings)


@dataclass(frozen=True)
class _Workspace:
    """The hidden folder in which an output keeps what it needs to go on."""

    output: Path

    @property
    def folder(self) -> Path:
        return self.output / ".prepare"

    @property
    def staged(self) -> Path:
        """Where clips wait for their shard."""
        return self.folder / "clips"

    @property
    def records(self) -> Path:
        return self.folder / "films"

    def record(self, film: Film) -> Path:
        """What became of a film; there once all its clips are staged."""
        return self.records / f"{film.key}.json"

    def left_behind(self) -> list[str]:
        """The keys of the films whose clips are all staged."""
        return [
            path.name for path in sorted(self.staged.iterdir()) if (self.records / f"{path.name}.json").is_file()
        ]

    def agree_on(self, settings: PrepareSettings) -> None:
        """Sees that the output holds nothing that was made otherwise."""
        for folder in (self.staged, self.records):
            folder.mkdir(parents=True, exist_ok=True)
        file, facts = self.folder / "settings.json", settings.facts()
        if not file.is_file():
            _write_json(file, facts)
        earlier = json.loads(file.read_text())
        other = [name for name in facts if earlier.get(name) != facts[name]]
        if other:
            said = ", ".join(f"{name} {earlier.get(name)} instead of {facts[name]}" for name in other)
            raise UserError(f"{self.output} was begun with {said}; give the same settings or another output.")


@contextmanager
def _alone(output: Path) -> Iterator[_Workspace]:
    """The output's workspace, for one run at a time."""
    workspace = _Workspace(output)
    try:
        workspace.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {output} cannot be made: {error.strerror}.") from error
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(workspace.folder / "lock", timeout=LOCK_WAIT))
        except TimeoutError as error:
            raise UserError(f"Another run is writing to {output}; wait for it, or give another output.") from error
        yield workspace


def _pack(films: list[Film], finish: Callable[[Film], None], workspace: _Workspace, clips_per_shard: int) -> None:
    """Copies the staged clips into shards, in the films' order, and removes those whose shard is whole."""
    waiting: list[tuple[int, Path]] = []  # folders, with the last shard that their clips are in
    with ClipWriter(workspace.output, clips_per_shard) as writer:
        packed = set(ClipShards(workspace.output).keys) if writer.shard else set()

        def pack(key: str) -> None:
            folder = workspace.staged / key
            if not folder.is_dir():  # the film has no clips, or all are in their shards
                return
            staged, last = ClipShards(folder), -1
            for clip in staged.keys:
                if clip not in packed:  # an earlier run may have ended before it removed them
                    last = writer.shard
                    writer.write_files(clip, staged.read_files(clip))
            waiting.append((last, folder))
            while waiting and waiting[0][0] < writer.shard:
                shutil.rmtree(waiting.pop(0)[1])

        for film in films:
            finish(film)
            pack(film.key)
        for key in workspace.left_behind():
            if key not in {folder.name for _, folder in waiting}:  # of a run with other films that was stopped
                pack(key)
    for _, folder in waiting:
        shutil.rmtree(folder)


def _prepare_film(film: Film, workspace: _Workspace, settings: PrepareSettings) -> None:
    """Stages the film's clips, then writes its record."""
    folder = workspace.staged / film.key
    shutil.rmtree(folder, ignore_errors=True)  # of a run that ended before the record
    refusals: list[dict[str, Any]] = []
    clips = frames = 0
    seconds = 0.0

    def refuse(start: float, end: float, count: int, reason: str, detail: str) -> None:
        place = {"video": film.name, "start": round(start, 3), "end": round(end, 3), "frames": count}
        refusals.append({**place, "reason": reason, "detail": detail})

    try:
        reader = VideoReader(film.path)
        styles, unfit = film.open_styles(reader)
    except UserError as error:
        refuse(0, 0, 0, "unreadable", str(error))
    else:
        rate, times = float(reader.frame_rate), reader.timestamps
        for name, why in unfit.items():
            refuse(0, 0, 0, "style copy unfit", f"{name}: {why}")
        tools = _load_tools(settings)
        # All in one file, for the shards are filled later.
        with ClipWriter(folder, sys.maxsize, crf=settings.crf) as writer:
            for piece in cut_film(reader, tools.detector, settings.rules, rate, styles, tools.estimator):
                first = piece.start if isinstance(piece, Refusal) else piece.source["first_frame"]
                count = piece.count if isinstance(piece, Refusal) else len(piece)
                start = float(times[first]) if first < len(times) else first / rate
                end = start + count / rate
                if isinstance(piece, Refusal):
                    refuse(start, end, count, piece.reason, piece.detail)
                    continue
                key = f"{film.key}-{clips:05d}"
                piece.source.update(video=film.name, start=round(start, 3), end=round(end, 3))
                writer.write(tools.see(piece, key, settings), key)
                clips, frames, seconds = clips + 1, frames + count, seconds + end - start
        if not clips:
            folder.rmdir()
    record = {"video": film.name, "clips": clips, "frames": frames, "seconds": seconds, "refusals": refusals}
    _write_json(workspace.record(film), record)


@dataclass(frozen=True)
class _Tools:
    """What a worker loads once."""

    detector: Detector
    vae: AutoencoderKLTemporalDecoder | None
    motion_extractor: MotionExtractor | None
    estimator: PoseEstimator | None

    def see(self, clip: Clip, key: str, settings: PrepareSettings) -> Clip:
        """The clip with what the networks see in it."""
        if self.vae is not None:
            clip = add_latents(clip, self.vae)
        if self.motion_extractor is not None:
            rng = np.random.default_rng(zlib.crc32(key.encode()))
            anchors = rng.choice(len(clip), min(settings.anchors, len(clip)), replace=False)
            clip = add_expression(clip, self.motion_extractor, sorted(anchors.tolist()))
        return clip


@cache
def _load_tools(settings: PrepareSettings) -> _Tools:
    device = choose_device(settings.device)
    detector = load_detector(settings.detector, device=device, path=settings.detector_path)
    vae = motion_extractor = None
    if settings.model is not None and settings.latents:
        vae = _load_network(AutoencoderKLTemporalDecoder, settings.model / "vae", device)
    if settings.model is not None and settings.expression:
        motion_extractor = _load_network(MotionExtractor, settings.model / "motion_extractor", device)
    estimator = load_pose_estimator(settings.pose, device=device, path=settings.pose_path)
    return _Tools(detector, vae, motion_extractor, estimator)


def _load_network(kind: Any, folder: Path, device: torch.device) -> Any:
    """One of a model's networks in float32, without the others, which would take gigabytes."""
    variant = choose_variant(list_folder(folder.parent), torch.float32)
    try:
        network = kind.from_pretrained(folder, variant=variant, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"The network in {folder} cannot be loaded ({reason}); convert the model again."
        ) from error
    return network.to(device).eval()


@contextmanager
def _working(
    job: Callable[[Film], None], films: Sequence[Film], workers: int, on_done: Callable[[], None]
) -> Iterator[Callable[[Film], None]]:
    """Does the job for all films; what it gives returns when a film is done. One worker is this process itself."""
    if min(workers, len(films)) <= 1:
        missing = set(films)

        def do(film: Film) -> None:
            if film in missing:
                job(film)
                on_done()

        yield do
        return

    def tell(future: Future) -> None:
        if not future.cancelled() and future.exception() is None:
            on_done()

    # Spawned, because forked copies of a process that has run torch or CUDA can hang.
    context = multiprocessing.get_context("spawn")
    alive, ours = context.Pipe(duplex=False)
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(min(workers, len(films)), context, _begin_worker, (alive, threads)) as pool:
        try:
            futures = {film: pool.submit(job, film) for film in films}
            for future in futures.values():
                future.add_done_callback(tell)
            yield lambda film: futures[film].result() if film in futures else None
        except BrokenProcessPool as error:
            raise UserError(
                "A worker was ended from outside, perhaps for want of memory; run again, with fewer workers: what "
                "is done is kept."
            ) from error
        except BaseException:
            ours.close()  # ends the workers, which would each go on to the end of its film
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker(alive: Connection, threads: int) -> None:
    """Ends this process with the one that started it, however that ends."""

    def watch() -> None:
        wait([alive])  # nothing is ever sent: it is ready when the other end is closed
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(threads)


def _write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    unfinished = path.with_name(f".{path.name}")
    try:
        unfinished.write_text(json.dumps(content, indent=1))
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def _report(workspace: _Workspace, settings: PrepareSettings) -> dict[str, Any]:
    """Writes and returns what became of all films of the output, earlier runs' too."""
    records = [json.loads(path.read_text()) for path in sorted(workspace.records.glob("[!.]*.json"))]
    refusals = [refusal for record in records for refusal in record["refusals"]]
    places = Counter(refusal["reason"] for refusal in refusals)
    report = {
        "films": len(records),
        **{name: sum(record[name] for record in records) for name in ("clips", "frames", "seconds")},
        "refused": {
            reason: {
                "places": count,
                "seconds": round(sum(r["end"] - r["start"] for r in refusals if r["reason"] == reason), 3),
            }
            for reason, count in places.most_common()
        },
        "refusals": refusals,
        "settings": settings.facts(),
    }
    _write_json(workspace.output / REPORT, report)
    return report
