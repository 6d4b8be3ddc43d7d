"""`hunyuan-portrait convert`: the published files to a folder that `animate --model` takes."""

from pathlib import Path
from typing import Annotated

import typer

from ..convert import convert_checkpoint, read_config
from .display import StageProgress, console


def convert(
    source: Annotated[
        Path,
        typer.Argument(help="The folder with the seven published files, or with a hyportrait that has them."),
    ],
    svd: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Stable Video Diffusion img2vid-xt: vae, scheduler, unet/config.json."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to make.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of sizes, where they are not the published ones.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(metavar="fp16|bf16|fp32", help="Type of the weights.", show_default="as published"),
    ] = None,
    arcface: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The ID encoder.", show_default="arcface.onnx beside the published files"
        ),
    ] = None,
) -> None:
    """Convert the published checkpoints into one folder."""
    sizes = None if config is None else read_config(config)
    with StageProgress() as progress:

        def show_megabytes(stage: str, done: int, total: int) -> None:
            progress(stage, done // 10**6, total // 10**6)

        convert_checkpoint(
            source, output, svd=svd, config=sizes, dtype=dtype, arcface=arcface, on_progress=show_megabytes
        )
    console.print(f"Wrote {output}", soft_wrap=True, markup=False)
