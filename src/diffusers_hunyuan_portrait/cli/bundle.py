"""`hunyuan-portrait bundle`: a model with the code that it runs by, which loads without this package."""

from pathlib import Path
from typing import Annotated

import typer

from ..hub.bundle import write_bundle
from .display import StageProgress, console


def bundle(
    model: Annotated[Path, typer.Argument(help="A folder written by `convert`.")],
    output: Annotated[Path, typer.Argument(help="The folder to make.")],
    name: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="The Hub repository that it is for, for its card's examples."),
    ] = None,
) -> None:
    """Write MODEL with its code, for diffusers and transformers alone."""
    with StageProgress() as progress:

        def show_megabytes(stage: str, done: int, total: int) -> None:
            progress(stage, done // 10**6, total // 10**6)

        write_bundle(model, output, name=name, on_progress=show_megabytes)
    console.print(f"Wrote {output}", soft_wrap=True, markup=False)
