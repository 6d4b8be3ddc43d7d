"""`hunyuan-portrait convert`: the published files to a folder that `animate --model` takes."""

from pathlib import Path
from typing import Annotated

import typer

from ..convert import convert_checkpoint, read_config
from ..convert.checkpoint import SHARD_SIZE
from ..errors import UserError
from ..hub.publishing import check_publishing, publish
from ..model_folder import INDEX
from .display import StageProgress, console, in_megabytes


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
    variant: Annotated[
        str | None,
        typer.Option(metavar="fp16|bf16", help="Half-precision files to write beside those of --dtype."),
    ] = None,
    max_shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="The most that one file of weights takes, such as 500MB.")
    ] = SHARD_SIZE,
    arcface: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The ID encoder.", show_default="arcface.onnx beside the published files"
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME", help="Publish it on the Hub; an output that is there is not made anew."
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Publish it for oneself only.")] = False,
) -> None:
    """Convert the published checkpoints into one folder, and publish it where asked to."""
    if private and push_to_hub is None:
        raise UserError("--private is for what is published; name the repository by --push-to-hub.")
    name = None if push_to_hub is None else check_publishing(push_to_hub, private=private)
    if name is not None and (output / INDEX).is_file():
        console.print(
            f"{output} is there already and is published as it is; give another --output to convert anew.",
            soft_wrap=True,
            markup=False,
        )
    else:
        sizes = None if config is None else read_config(config)
        with StageProgress() as progress:
            convert_checkpoint(
                source,
                output,
                svd=svd,
                config=sizes,
                dtype=dtype,
                variant=variant,
                max_shard_size=max_shard_size,
                arcface=arcface,
                name=name,
                on_progress=in_megabytes(progress),
            )
        console.print(f"Wrote {output}", soft_wrap=True, markup=False)
    if name is not None:
        url = publish(output, name, private=private)  # the Hub's client shows how far it is
        console.print(f"Published {url}", soft_wrap=True, markup=False)
