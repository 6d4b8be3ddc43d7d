"""`hunyuan-portrait train`: a configuration to a trained model."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from accelerate import PartialState

from ..progress import no_progress
from .display import StageProgress, console


def train(
    config: Annotated[Path, typer.Argument(help="The settings of the run, as YAML.", show_default=False)],
    export: Annotated[
        bool, typer.Option("--export", help="Do not train; write the model that the last checkpoint holds.")
    ] = False,
) -> None:
    """Train a model, or go on with training that was stopped."""
    from ..training import loop  # it takes seconds to import, which the other commands need not wait for
    from ..training.config import read_config

    settings = read_config(config)
    if export:
        console.print(f"Wrote {loop.export(settings)}", soft_wrap=True, markup=False)
        return
    with StageProgress() as progress:
        result = loop.train(settings, progress if PartialState().is_main_process else no_progress)
    if PartialState().is_main_process:
        if result.model is not None:
            console.print(f"Wrote {result.model}", soft_wrap=True, markup=False)
        else:
            console.print(f"Stopped after step {result.step}; run the same again to go on.", soft_wrap=True)
    if result.signal is not None:
        sys.exit(128 + result.signal)
