"""`hunyuan-portrait bundle`: a model with the code that it runs by, or a Space that shows it."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..hub.bundle import write_bundle
from ..loading import find_prepared
from .demo import WITHOUT_MODEL, page_needed
from .display import StageProgress, console, in_megabytes


def bundle(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A folder written by `convert`, or a repository that `animate` has converted.", show_default=False
        ),
    ] = None,
    output: Annotated[Path | None, typer.Argument(help="The folder to make.", show_default=False)] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="The Hub repository that it is for, for its card's examples."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="OUTPUT",
            help=f"Write a Space for the Hub instead, which serves the page of `demo` with MODEL, by default "
            f"{WITHOUT_MODEL}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write MODEL with its code, for diffusers and transformers alone; or a Space that shows it."""
    if space is not None:
        if output is not None or name is not None:
            raise UserError("--space names the folder of the Space; leave OUTPUT and --name out.")
        with page_needed():
            from ..demo.space import write_space
        write_space(space, model or WITHOUT_MODEL)
        console.print(f"Wrote {space}", soft_wrap=True, markup=False)
        return
    if model is None or output is None:
        raise UserError("Give a model and the folder to make, as MODEL OUTPUT; or --space OUTPUT.")
    folder = Path(model) if Path(model).exists() else find_prepared(model)
    with StageProgress() as progress:
        write_bundle(folder or model, output, name=name, on_progress=in_megabytes(progress))
    console.print(f"Wrote {output}", soft_wrap=True, markup=False)
