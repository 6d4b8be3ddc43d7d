"""Figures of several models or settings beside each other, kept as they come in; a later stretch goes on."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from components import make_variant
from make import Lengths, draw_clips, store_conditions
from stretches import Work

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.cli.display import StageProgress
from diffusers_hunyuan_portrait.evaluation import Figures, MotionReader, evaluate, make_pairs
from diffusers_hunyuan_portrait.evaluation.figures import RESULT
from diffusers_hunyuan_portrait.evaluation.run import WITHOUT_PADDING
from diffusers_hunyuan_portrait.loading import DRAWN_FACES

READER = Path(__file__).parent / "reader.safetensors"
# What validation pairs come out best with: guidance makes neighbouring frames differ, and more steps do nothing.
SAMPLING = {"num_inference_steps": 10, "appearance_guidance_scale": 1.0, "motion_guidance_scale": 1.0}

FEW_STEPS = {"num_inference_steps": 4}  # whose figures are those of 10, in under half the time


def store_clips(work: Work) -> bool:
    """Draws and stores the clips, where `make.py` has not; gives whether it is done.

    Where there is nothing of `make.py`, the frozen parts that see them are the shipped model's.
    """
    start = work.folder / "start"
    if not start.exists():
        make_variant(DRAWN_FACES).save_pretrained(start)
    return draw_clips(work, Lengths()) and store_conditions(work, Lengths())


def collect(
    work: Work, comparison: str, names: Iterable[str], find: Callable[[str], Figures | None]
) -> dict[str, Figures] | None:
    """The figures under each name, those found before read from files; `None` where the stretch ends before all.

    Args:
        comparison: its folder in the work's, with a file for each name, as several processes may add some.
        find: gives the figures of one name, or `None` where time does not reach.
    """
    folder, found = work.folder / "figures" / comparison, {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = folder / f"{name}.json"
        if not file.exists():
            figures = find(name) if work.minutes_left else None
            if figures is None:
                return None
            file.write_text(json.dumps(figures.to_dict(), indent=1) + "\n")
        found[name] = Figures.from_dict(json.loads(file.read_text()))
    return found


def make_parser(documentation: str, num_pairs: int = 50) -> argparse.ArgumentParser:
    """Of a script that compares; `documentation` is the script's own."""
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="the folder of make.py")
    parser.add_argument("--minutes", type=float, default=30, help="length of this stretch (30)")
    parser.add_argument("--pairs", type=int, default=num_pairs, help=f"how many are measured on ({num_pairs})")
    return parser


def report(
    work: Work, comparison: str, what: str, names: Iterable[str], find: Callable[[str], Figures | None]
) -> dict[str, Figures] | None:
    """Collects, and prints the table of `what`, or that the stretch is over; gives what `collect` does."""
    found = collect(work, comparison, names, find)
    if found is None:
        print("The stretch is over; run the same command again to go on.")
    else:
        print(to_markdown(found, what))
    return found


def measure(pipe: HunyuanPortraitPipeline, num_pairs: int, **settings: Any) -> Figures:
    """The figures over fixed pairs, in one window without padding: a third of the work, and the same for all."""
    settings = SAMPLING | FEW_STEPS | WITHOUT_PADDING | settings
    with StageProgress() as progress:
        return evaluate(pipe, make_pairs(num_pairs), MotionReader.load(READER), on_progress=progress, **settings)


def to_markdown(found: dict[str, Figures], what: str) -> str:
    """A table with a line for each."""
    head = (
        what,
        "PSNR over the portrait repeated, dB",
        "head motion",
        "face motion",
        "identity",
        "change",
        "control",
    )
    lines = [head, ("---", *["---:"] * 6)]
    for name, figures in found.items():
        row = figures.rows[RESULT]
        control = "" if figures.control is None else f"{figures.control:.2f}"
        numbers = f"{row.head:.0%}", f"{row.face:.0%}", f"{row.identity:.2f}", f"{row.change:.2f}", control
        lines.append((name, f"{figures.psnr_gain:+.2f}", *numbers))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
