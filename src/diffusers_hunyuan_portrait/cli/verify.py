"""`hunyuan-portrait verify`: what a file's credentials say, whether they hold, and whether it bears our mark."""

import itertools
from pathlib import Path
from typing import Annotated

import typer

from ..media import VideoReader, read_image
from ..media.images import STILL_SUFFIXES
from ..media.paths import readable_file
from ..provenance import BITS, CARRIERS, ENOUGH, MarkReading, Verdict, Watermark, verify
from .display import console

# Frames that the mark is read from: neighbours are much the same, and few are quickly read.
MARKED_FRAMES, APART = 8, 5


def verify_command(
    file: Annotated[Path, typer.Argument(help="A video or picture.", show_default=False)],
    trust_list: Annotated[
        Path | None,
        typer.Option(help="Certificates, in PEM, that are trusted to vouch for signers.", show_default="none"),
    ] = None,
    watermark: Annotated[
        bool,
        typer.Option(
            "--watermark",
            help="Look for this program's mark in the frames as well; copies bear it that lost their credentials.",
        ),
    ] = False,
) -> None:
    """Say whether FILE is as it was signed, and how it says it was made; exit code 1 where it is not.

    With --watermark a file that is not signed will do, if it bears the mark; exit code 1 where it does not.
    """
    readable_file(file, "video or picture")
    marker = Watermark() if watermark else None
    verdict = verify(file, trust_list)
    _tell(file, verdict)
    is_good = verdict.is_signed and verdict.is_unchanged
    if marker is not None:
        reading = _read_mark(marker, file)
        frames = "1 frame" if reading.pictures == 1 else f"{reading.pictures} frames"
        share = f"{reading.bits} of {BITS} bits ({reading.bits / BITS:.0%}), read from {frames}"
        console.print(
            f"It bears this program's watermark: {share}."
            if reading.is_there
            else f"This program's watermark was not found: {share}, where {ENOUGH} are needed.",
            soft_wrap=True,
            markup=False,
        )
        is_good = reading.is_there and (is_good or not verdict.is_signed)
    if not is_good:
        raise typer.Exit(1)


def _tell(file: Path, verdict: Verdict) -> None:
    if not verdict.is_signed:
        why = "" if file.suffix.lower() in CARRIERS else f" A {file.suffix} file cannot carry content credentials."
        console.print(f"{file} is unsigned.{why}", soft_wrap=True, markup=False)
        return
    state = "unchanged since signing" if verdict.is_unchanged else "changed since signing"
    trust = "signer trusted" if verdict.is_trusted else "signer not in a trust list"
    console.print(f"{file}: {state}, {trust}.", soft_wrap=True, markup=False)
    if verdict.signer:
        console.print(f"Signed by: {verdict.signer}", soft_wrap=True, markup=False)
    for action in verdict.actions:
        agent = action.get("softwareAgent", {})
        made = [action.get("action", ""), action.get("digitalSourceType", "").rpartition("/")[2]]
        made += [f"{agent.get('name', '')} {agent.get('version', '')}".strip()]
        made += [
            f"{name} {value}" for name, value in action.get("parameters", {}).items() if isinstance(value, str)
        ]
        console.print("It says: " + ", ".join(part for part in made if part), soft_wrap=True, markup=False)
    if not verdict.is_unchanged:
        console.print(f"What is wrong: {', '.join(verdict.notes)}", soft_wrap=True, markup=False)


def _read_mark(marker: Watermark, file: Path) -> MarkReading:
    """From a few of a video's first frames, or from a picture; of an animated WebP from the first.

    Raises:
        UserError: there is none that can be read.
    """
    suffix = file.suffix.lower()
    if suffix in STILL_SUFFIXES and suffix != ".gif":
        return marker.read_alone(read_image(file))
    return marker.read(itertools.islice(VideoReader(file), 0, MARKED_FRAMES * APART, APART))
