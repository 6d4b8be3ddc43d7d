"""What a model's folder has beside its components' weights: code for diffusers, ID encoder, card, licences."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DISTRIBUTION = "diffusers-hunyuan-portrait"
LIBRARY = "diffusers_hunyuan_portrait"  # spelt out, for this text may be run as part of another module

INDEX = "model_index.json"
ID_MODEL = "id_encoder/arcface.onnx"
ID_CONFIG = "id_encoder/config.json"  # of one that is a component, in the other's place
CARD = "README.md"
LICENCES = "licences"  # a folder for each part's files
# Patterns of what is carried along when a model is fetched or saved; the rest is a component's, or written anew.
CARRIED = (ID_MODEL, CARD, "LICENSE*", "NOTICE*", f"{LICENCES}/*")

# Where a card names its model: as a string in Python, and quoted for the shell where it has to be.
_NAME_IN_PYTHON = re.compile(r'(?<=from_pretrained\()"(?:[^"\\]|\\.)*"')
_NAME_IN_COMMAND = re.compile(r"""(?<=--model )(?:'[^'\n]*'|"[^"\n]*"|[^\s'"`])+""")
# The options of a card's call, up to the one that names the variant.
_OPTIONS = re.compile(r'(from_pretrained\("[^\n]*?)(?:, variant="\w+")?(?=\)\.to\(device\))')
_ABOUT_VARIANT = re.compile(r'\n\nWith `variant="\w+"`[^\n]*')
_SHARD = r"(?:-\d{5}-of-\d{5})?"
_WEIGHTS = re.compile(rf"diffusion_pytorch_model{_SHARD}(?:\.(\w+))?{_SHARD}\.safetensors")
HALF_PRECISION = ("fp16", "bf16")  # variants


def _write_import(docstring: str, names: Sequence[str]) -> str:
    """A file that has some names of this package; not spelt out, as diffusers looks for imports in any text."""
    return f'"""{docstring}"""\n\nfrom {LIBRARY} import {", ".join(names)}\n\n__all__ = {json.dumps(names)}\n'


# What `custom_pipeline=` looks for at a folder's root.
PIPELINE_FILE = "pipeline.py"
PIPELINE_CODE = _write_import(
    "The pipeline of the installed package, for diffusers' `custom_pipeline=`.", ["HunyuanPortraitPipeline"]
)
# What diffusers asks a Hub repository for where it does not know a component's library, before it runs any code.
# The file has the library's name, and is the same for each component, as all are copied into one folder.
COMPONENT_FILE = f"{LIBRARY}.py"
COMPONENT_CODE = _write_import(
    "The networks of the installed package, for a Hub repository loaded without its import.",
    ["HunyuanPortraitUNet", "IDEncoder", "IMAdapter", "MotionExtractor", "PoseGuider"],
)


def find_own(index: Mapping[str, Any]) -> dict[str, str]:
    """The components of a model's index that are this package's, each to the name of its class."""
    entries = {name: entry for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    return {
        name: class_name
        for name, (library, class_name) in entries.items()
        if isinstance(library, str) and library.partition(".")[0] == LIBRARY
    }


def write_code(folder: Path) -> None:
    """Writes the files by which diffusers finds this package from `folder`, which has its index and components."""
    (folder / PIPELINE_FILE).write_text(PIPELINE_CODE, encoding="utf-8")
    for name in find_own(json.loads((folder / INDEX).read_text(encoding="utf-8"))):
        (folder / name / COMPONENT_FILE).write_text(COMPONENT_CODE, encoding="utf-8")


def find_carried(folder: Path) -> Iterator[Path]:
    """What `folder` has that goes wherever the model goes, as paths inside it."""
    for pattern in CARRIED:
        for path in sorted(folder.glob(pattern.replace("/*", "/**/*"))):
            if path.is_file():
                yield path.relative_to(folder)


def copy_carried(source: Path, target: Path) -> None:
    """Copies what `source` has of these files and `target` has not.

    The ONNX ID encoder stays behind where `target` has a component in its place.
    """
    replaced = [Path(ID_MODEL)] if (target / ID_CONFIG).is_file() else []
    for name in find_carried(source):
        if name not in replaced and not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def find_variants(folder: Path) -> list[str | None]:
    """In which types `folder` has its weights, `None` for the plain ones; first that to be recommended."""
    found = {match[1] for path in folder.glob("unet/*") if (match := _WEIGHTS.fullmatch(path.name))}
    preferred = [*HALF_PRECISION, None]
    return [each for each in preferred if each in found] + sorted(each for each in found if each not in preferred)


def update_usage(folder: Path, name: str | None = None) -> None:
    """Has the card of `folder`, where it has one, load weights that are there, by the name that the model has.

    The rest stays as it is, and may have been written by others.

    Args:
        folder: a model's folder.
        name: what users are to call the model; by default as they did.
    """
    file = folder / CARD
    if not file.is_file():
        return
    old = card = file.read_bytes().decode("utf-8", "surrogateescape")  # whatever its line ends
    if name is not None:
        card = _NAME_IN_PYTHON.sub(lambda _: json.dumps(name), card)
        card = _NAME_IN_COMMAND.sub(lambda _: shlex.quote(name), card)
    variants = find_variants(folder)
    option = f', variant="{variants[0]}"' if variants and variants[0] else ""
    card = _OPTIONS.sub(lambda call: call[1] + option, card)
    if len(variants) < 2:
        card = _ABOUT_VARIANT.sub("", card)
    if card != old:
        file.write_bytes(card.encode("utf-8", "surrogateescape"))


def tidy_configs(folder: Path) -> None:
    """Takes out of the configs what should not be told, or cannot be read on the Hub.

    That is where the model was loaded from, which diffusers notes there: so a model that is saved, loaded and
    saved again is the same to the byte. And it is components that are not there: with an entry for `id_encoder`
    diffusers would take the ONNX file for its weights, and fetch no safetensors of the other components either.
    """
    for file in [folder / INDEX, *sorted(folder.glob("*/config.json"))]:
        config = json.loads(file.read_text(encoding="utf-8"))
        kept = {name: value for name, value in config.items() if name != "_name_or_path" and value != [None, None]}
        if kept != config:
            write_json(file, kept)


def write_json(path: Path, content: object) -> None:
    """Writes JSON as diffusers does, so that its saving and ours give the same bytes."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
