"""The entry point of `hunyuan-portrait`: its commands, and how errors leave it."""

import logging
import signal
import sys

import torch
import typer

from ..errors import UserError, not_enough_memory
from .animate import animate
from .batch import batch
from .bench import bench
from .bundle import bundle
from .convert import convert
from .demo import demo
from .display import show_error, show_log
from .doctor import doctor
from .extract import extract
from .prepare import prepare
from .train import train
from .verify import verify_command

app = typer.Typer(
    help="Animate a portrait with the face in a driving clip.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(animate)
app.command()(extract)
app.command()(batch)
app.command()(convert)
app.command()(bundle)
app.command()(doctor)
app.command()(demo)
app.command()(prepare)
app.command()(train)
app.command()(bench)
app.command("verify")(verify_command)


def run() -> None:
    """Runs the command line; what a user can put right is one sentence and exit code 2."""
    show_log(logging.INFO)
    # A service stops a job so; by default Python would end at once, and leave what was half written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app(prog_name="hunyuan-portrait")
    except UserError as error:
        show_error(str(error))
        sys.exit(2)
    except (torch.OutOfMemoryError, MemoryError) as error:
        show_error(not_enough_memory(error))
        sys.exit(2)
