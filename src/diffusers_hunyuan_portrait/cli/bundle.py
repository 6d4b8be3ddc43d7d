"""`hunyuan-portrait bundle`: a model with the code that it runs by, which loads without this package."""

from pathlib import Path
from typing import Annotated

import typer

from ..hub.bundle import write_bundle
from ..loading import find_prepared
from .display import StageProgress, console, in_megabytes


def bundle(
    model: Annotated[
        str, typer.Argument(help="A folder written by `convert`, or a repository that `animate` has converted.")
    ],
    output: Annotated[Path, typer.Argument(help="The folder to make.")],
    name: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="The Hub repository that it is for, for its card's examples."),
    ] = None,
) -> None:
    """Write MODEL with its code, for diffusers and transformers alone."""
    folder = Path(model) if Path(model).exists() else find_prepared(model)
    with StageProgress() as progress:
        write_bundle(folder or model, output, name=name, on_progress=in_megabytes(progress))
    console.print(f"Wrote {output}", soft_wrap=True, markup=False)
