"""`write_space`: a folder that, pushed to the Hub as a Space, serves the page."""

import json
from importlib import metadata
from os import PathLike
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData

from ..convert.output import check_output, written_aside
from ..errors import UserError
from ..hub.consent import ACCEPT_VARIABLE
from ..hub.originals import HubName
from ..loading import PACKAGED

DISTRIBUTION = "diffusers-hunyuan-portrait"
APP = '''"""Serves the page; all of it is in the package {distribution}."""

import sys

from diffusers_hunyuan_portrait.cli.main import run

sys.argv = ["hunyuan-portrait", "demo", "--host", "0.0.0.0", {words}]
run()
'''
TEXT = """
# Animate a portrait

One portrait and one driving clip in, an animated portrait out: the page of
`{distribution}`, with the model {model}.
{terms}
Everything made here carries signed content credentials (C2PA) that say it is generated. Animate only people who
agree to it.
"""
TERMS = """
The model's licences must be accepted by who runs the Space: set the variable `{variable}` to 1
in its settings once you have read and accepted them. The published weights need a GPU with 12 GB, or with 8 GB and
`--offload model` among the words in `app.py`.
"""


def write_space(output: str | PathLike[str], model: str) -> Path:
    """Writes `output`, a folder with the app, its requirements and a README for the Hub; whole or not at all.

    Args:
        output: folder to make; it must not exist, or be empty.
        model: what the Space shows: one that is in this package, or a repository on the Hub, which the Space
            fetches when it starts.

    Returns:
        `output`.

    Raises:
        UserError: the model is none that a Space can fetch, or `output` cannot be written.
    """
    output = Path(output)
    check_output(output)
    is_packaged = model in PACKAGED
    if not is_packaged and (Path(model).exists() or HubName.parse(model) is None):
        raise UserError(
            f"A Space fetches its model from the Hub, where {model} is not; push it there and give its "
            f"owner/name, or one of this package: {', '.join(PACKAGED)}."
        )
    card = SpaceCardData(
        title="Animate a portrait",
        emoji="🎭",
        colorFrom="blue",
        colorTo="gray",
        sdk="gradio",
        sdk_version=metadata.version("gradio"),
        app_file="app.py",
        license="apache-2.0",
        models=None if is_packaged else [model.partition("@")[0]],
        short_description="One portrait and one driving clip in, a video out",
        tags=["portrait-animation", "image-to-video", "diffusers"],
    )
    terms = "" if is_packaged else TERMS.format(variable=ACCEPT_VARIABLE)
    text = TEXT.format(distribution=DISTRIBUTION, model=f"`{model}`", terms=terms)
    with written_aside(output) as folder:
        (folder / "app.py").write_text(
            APP.format(distribution=DISTRIBUTION, words=f'"--model", {json.dumps(model)}'), encoding="utf-8"
        )
        (folder / "requirements.txt").write_text(
            f"{DISTRIBUTION}[demo]=={metadata.version(DISTRIBUTION)}\n", encoding="utf-8"
        )
        SpaceCard(f"---\n{card.to_yaml()}\n---\n{text}").save(folder / "README.md")
    return output
