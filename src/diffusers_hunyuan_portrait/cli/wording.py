"""A video by the options of `animate` as words: of a line of a table, or of the fields of a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ..errors import UserError
from .animate import animate
from .making import OF_THE_MODEL, Video


def animate_command() -> Any:
    """`animate` as the command line has it, to take its options apart."""
    app = typer.Typer()
    app.command()(animate)
    return typer.main.get_command(app)


def option_words(command: Any, words: Mapping[str, str]) -> list[str]:
    """What stands on the command line for options by their names, flags as "yes" or "no".

    Raises:
        UserError: a flag is neither.
    """
    given = []
    flags = {parameter.name for parameter in command.params if getattr(parameter, "is_flag", False)}
    for name, text in words.items():
        option = "--" + name.replace("_", "-")
        if name not in flags:
            given.append(f"{option}={text}")
        elif text.lower() in ("1", "true", "yes"):
            given.append(option)
        elif text.lower() not in ("0", "false", "no"):
            raise UserError(f"{name} is {text!r}; it must be yes or no.")
    return given


def video_of_words(
    command: Any, portrait: Path, driving: Path, output: Path, words: Mapping[str, str], pose: str = "none"
) -> Video:
    """The video that the command line would make of these.

    Args:
        command: what `animate_command` gives.
        portrait, driving, output: its files.
        words: of its other options, but for those of the model.
        pose: what the model's options say of it.

    Raises:
        UserError: an option is wrong, or there is none of that name.
    """
    line = [str(portrait), str(driving), "--output", str(output), *option_words(command, words)]
    try:
        given = command.make_context("animate", line).params
    except Exception as error:  # of click, or of the click inside newer typers
        if not hasattr(error, "format_message"):
            raise
        raise UserError(error.format_message()) from error
    of_the_video = {name: value for name, value in given.items() if name not in OF_THE_MODEL}
    return Video.of_options(**of_the_video, pose=pose)
