"""`hunyuan-portrait verify`: what a file's content credentials say, and whether they hold."""

from pathlib import Path
from typing import Annotated

import typer

from ..media.paths import readable_file
from ..provenance import CARRIERS, verify
from .display import console


def verify_command(
    file: Annotated[Path, typer.Argument(help="A video or picture.", show_default=False)],
    trust_list: Annotated[
        Path | None,
        typer.Option(help="Certificates, in PEM, that are trusted to vouch for signers.", show_default="none"),
    ] = None,
) -> None:
    """Say whether FILE is as it was signed, and how it says it was made; exit code 1 where it is not."""
    readable_file(file, "video or picture")
    verdict = verify(file, trust_list)
    if not verdict.is_signed:
        why = "" if file.suffix.lower() in CARRIERS else f" A {file.suffix} file cannot carry content credentials."
        console.print(f"{file} is unsigned.{why}", soft_wrap=True, markup=False)
        raise typer.Exit(1)
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
        raise typer.Exit(1)
