"""The model card of a converted folder, and the licence files that go with it."""

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import ModelCardData

from ..model_folder import CARD, DISTRIBUTION, ID_CONFIG, ID_MODEL, LICENCES, find_variants, update_usage
from .licences import ARCFACE, DINOV2, SVD, TENCENT, Licence

PAPER = "https://arxiv.org/abs/2503.18860"
LICENCE_FILE, NOTICE_FILE = "LICENSE", "NOTICE"  # at a folder's root, where the Hub and people look for them
# Where the files of a source go, below `LICENCES`.
LICENCE_FOLDERS = {TENCENT: "hunyuan-portrait", SVD: "stable-video-diffusion"}
VARIANT_TYPES = {"fp16": "float16", "bf16": "bfloat16"}

_LICENCE_NAME = re.compile(r"licen[cs]e.*", re.IGNORECASE)
_NOTICE_NAME = re.compile(r"notice.*", re.IGNORECASE)
_USAGE = re.compile(r"^## How to use it\n.*?(?=\n+## |\n*\Z)", re.DOTALL | re.MULTILINE)


# -- Licence files -------------------------------------------------------------------------------------------


def find_licences(published: Iterable[Path], svd: Path) -> dict[str, Path]:
    """The licence and notice files that lie beside the originals, by where they go in a converted folder.

    Args:
        published: folders that may have those of the seven files; of two files of a name the first is taken.
        svd: folder of Stable Video Diffusion.
    """
    found: dict[str, Path] = {}
    for licence, folders in ((TENCENT, published), (SVD, [svd])):
        taken = set()
        for path in [path for folder in folders for path in sorted(folder.iterdir())]:
            wanted = _LICENCE_NAME.fullmatch(path.name) or _NOTICE_NAME.fullmatch(path.name)
            if wanted and path.is_file() and path.name.lower() not in taken:
                taken.add(path.name.lower())  # the folder may come to be on a disk that knows no case
                found[f"{LICENCES}/{LICENCE_FOLDERS[licence]}/{path.name}"] = path
    return found


def carry_licences(folder: Path, files: Mapping[str, Path]) -> None:
    """Copies what `find_licences` found into a converted `folder`, and writes its own licence and notice.

    The licence at the root is Tencent's, under which most weights are; where it was not found there is none.
    The notice says what was changed, which Tencent's licence and Apache's want, and repeats those of the sources.
    """
    for target, source in files.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / target)
    main = next((path for path in _carried(folder, TENCENT) if _LICENCE_NAME.fullmatch(path.name)), None)
    if main is not None:
        shutil.copyfile(main, folder / LICENCE_FILE)
    notices = [
        path
        for licence in LICENCE_FOLDERS
        for path in _carried(folder, licence)
        if _NOTICE_NAME.fullmatch(path.name)
    ]
    parts = [_write_notice(folder)]
    for path in notices:
        parts.append(f"{path.relative_to(folder).as_posix()}, word for word:\n\n{_read(path)}")
    (folder / NOTICE_FILE).write_text(f"\n\n{80 * '-'}\n".join(part.strip() for part in parts) + "\n", "utf-8")


def _carried(folder: Path, licence: Licence) -> list[Path]:
    """The files of a source in a converted folder."""
    return sorted((folder / LICENCES / LICENCE_FOLDERS[licence]).glob("*")) if licence in LICENCE_FOLDERS else []


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _write_notice(folder: Path) -> str:
    parts = "\n".join(
        f"- {part.part}: {part.repository}; {part.name}, {part.link}" for part in _find_parts(folder)
    )
    return f"HunyuanPortrait, converted for diffusers\n\n{_CHANGES.format(program=name_program())}\n\n{parts}"


_CHANGES = """\
The weights and configs here are not the files that were published: {program} has changed them.
The tensors have other names and are in safetensors, those that hold query, key and value together are split,
position embeddings are interpolated to the size of picture in use, and the numbers may be of another type. Nothing
was trained further. They were made from:"""


def name_program() -> str:
    """This package and its version, as what it writes says."""
    try:
        return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    except metadata.PackageNotFoundError:  # run from a clone, without being installed
        return DISTRIBUTION


def _find_parts(folder: Path) -> list[Licence]:
    """Whose weights a folder holds."""
    return [TENCENT, SVD, *([ARCFACE] if (folder / ID_MODEL).is_file() else []), DINOV2]


# -- The card ------------------------------------------------------------------------------------------------


def write_card(folder: Path, name: str) -> None:
    """Writes the model card of `folder`, whose other files are there.

    Args:
        folder: a converted model.
        name: what users call it: "owner/name" on the Hub, or a path.
    """
    has_licence = (folder / LICENCE_FILE).is_file()
    data = ModelCardData(
        base_model=[TENCENT.repository, SVD.repository],
        library_name="diffusers",
        license="other",
        license_name="tencent-hunyuan-portrait",
        license_link=LICENCE_FILE if has_licence else TENCENT.link,
        pipeline_tag="image-to-video",
        tags=["hunyuan-portrait", "portrait-animation", "stable-video-diffusion"],
    )
    sections = [_write_introduction(folder), _write_usage(folder, name), _write_licences(folder), _INTENDED_USE]
    (folder / CARD).write_text(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")


def write_bundle_card(folder: Path, name: str) -> None:
    """Has the card of a bundle's `folder` tell how one is used; the rest it says as the model's own does.

    Args:
        folder: a bundle, whose other files are there.
        name: what users call it: "owner/name" on the Hub, or a path.
    """
    if not (folder / CARD).is_file():
        write_card(folder, name)
    usage = _write_bundle_usage(folder, name)
    card, found = _USAGE.subn(lambda _: usage, _read(folder / CARD), count=1)
    (folder / CARD).write_text(card if found else f"{card.rstrip()}\n\n{usage}\n", encoding="utf-8")


def names_published_weights(folder: Path) -> bool:
    """Whether the card of `folder` says that its weights come from Tencent's."""
    metadata_block = _read(folder / CARD).partition("\n---\n")[0]
    return TENCENT.repository in metadata_block


def update_card(folder: Path, name: str) -> None:
    """Has what users paste from the card of `folder` fit it and `name`, and links a licence added since.

    The rest stays as it is, and may have been written by others.
    """
    update_usage(folder, name)
    if (folder / LICENCE_FILE).is_file():
        card = _read(folder / CARD)
        card = card.replace(_MISSING_LICENCE, "")
        card = card.replace(f"license_link: {TENCENT.link}\n", f"license_link: {LICENCE_FILE}\n", 1)
        (folder / CARD).write_text(card, encoding="utf-8")


def _write_introduction(folder: Path) -> str:
    changes = _CHANGES.format(program=name_program()).partition(" They were made from:")[0].replace("\n", " ")
    identity = (
        ""
        if (folder / ID_MODEL).is_file() or (folder / ID_CONFIG).is_file()
        else " It has no ID encoder, so that the portrait's identity is left out."
    )
    return f"""\
# HunyuanPortrait for diffusers

A portrait picture and a driving clip in, an animated portrait out: [HunyuanPortrait]({PAPER}) (CVPR 2025),
converted for [diffusers](https://github.com/huggingface/diffusers) and the package `{DISTRIBUTION}`.{identity}

{changes}"""


def _write_usage(folder: Path, name: str) -> str:
    variants = find_variants(folder)
    variant = variants[0] if variants else None
    dtype = VARIANT_TYPES.get(variant or "", "float16")
    option = f', variant="{variant}"' if variant else ""
    half = (
        f'\n\nWith `variant="{variant}"` the weights are fetched and read in half precision; without, in the type '
        "that they were converted to."
        if variant and len(variants) > 1
        else ""
    )
    return f"""\
## How to use it

```sh
pip install {DISTRIBUTION}
```

From Python, with a `portrait.png` and a `driving.mp4` of yours:

```python
import torch
from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.animation import animate

device, dtype = ("cuda", torch.{dtype}) if torch.cuda.is_available() else ("cpu", torch.float32)
pipe = HunyuanPortraitPipeline.from_pretrained({json.dumps(name)}, dtype=dtype{option}).to(device)
animate(pipe, "portrait.png", "driving.mp4", "animated.mp4")
```

From the command line:

```sh
hunyuan-portrait animate portrait.png driving.mp4 --output animated.mp4 --model {shlex.quote(name)}
```

The video has the whole portrait with the animated square in it, and the driving clip's frame rate and sound.
`pipe(image="portrait.png", driving_video="driving.mp4").frames[0]` is the square alone, as PIL images.{half}"""


def _write_bundle_usage(folder: Path, name: str) -> str:
    variants = find_variants(folder)
    variant = variants[0] if variants else None
    dtype = VARIANT_TYPES.get(variant or "", "float16")
    options = f'dtype=dtype, variant="{variant}"' if variant else "dtype=dtype"
    return f"""\
## How to use it

This repository brings its own code, so that diffusers, transformers and torch are enough:

```sh
pip install torch diffusers transformers accelerate
```

```python
import torch
from diffusers import DiffusionPipeline

device, dtype = ("cuda", torch.{dtype}) if torch.cuda.is_available() else ("cpu", torch.float32)
pipe = DiffusionPipeline.from_pretrained({json.dumps(name)}, trust_remote_code=True, {options}).to(device)
frames = pipe(conditions=torch.load("conditions.pt")).frames[0]  # a list of PIL images
```

`trust_remote_code=True` has diffusers run `pipeline.py` and the file of code beside each network; read them first.
They are written by `{DISTRIBUTION}`, under Apache-2.0.

`conditions` is a dict of what a run needs of the portrait and the driving clip, with the fields of
`PortraitConditions` in `pipeline.py`. Finding and following the faces takes that package:

```sh
pip install {DISTRIBUTION}
```

With it, the same `pipe` takes pictures and clips themselves, as in
`pipe(image="portrait.png", driving_video="driving.mp4")`, or makes conditions of them, to be used anywhere:

```python
conditions = pipe.prepare_conditions("portrait.png", "driving.mp4")
torch.save(vars(conditions), "conditions.pt")
```"""


def _write_licences(folder: Path) -> str:
    rows = []
    for part in _find_parts(folder):
        files = [path.relative_to(folder).as_posix() for path in _carried(folder, part)]
        links = ", ".join(_write_link(file) for file in files) or "–"
        rows.append(
            f"| {part.part}, from [{part.repository}](https://huggingface.co/{part.repository}) "
            f"| [{part.name}]({part.link}) | {part.terms} | {links} |"
        )
    table = "\n".join(rows)
    missing = "" if (folder / LICENCE_FILE).is_file() else _MISSING_LICENCE
    return f"""\
## Licences

Each part keeps the licence that it was published under, and all of them hold together: the whole is for academic,
non-commercial use alone. Whoever passes it on passes these terms on, with [{NOTICE_FILE}]({NOTICE_FILE}).

| part | licence | terms | files |
|---|---|---|---|
{table}{missing}"""


def _write_link(file: str) -> str:
    """A link to a file beside the card, whatever its name."""
    shown = re.sub(r"[^\w. -]", lambda sign: f"\\{sign[0]}", Path(file).name)
    return f"[{shown}]({quote(file)})"


_MISSING_LICENCE = f"""

**Before this is published, Tencent's licence must be added to it as `{LICENCE_FILE}`:** it was not beside the
originals when they were converted. It is at {TENCENT.link}."""

_INTENDED_USE = """\
## Intended use

Research on portrait animation: to study, compare and reproduce the method, on pictures of oneself, of people who
agreed to it, or of nobody, such as drawn and generated faces.

## Misuse

Pictures of people are personal. Not intended, and in many places against the law:

- animating a person without their consent, or a child without their guardians',
- showing people as saying or doing what they did not, to deceive, defame, harass or defraud (deepfakes),
- sexual content with real people,
- passing as somebody before people or before systems that check identities,
- commercial use, and use outside the territory that Tencent's licence names.

Say that a result is generated wherever it is shown.

## Limitations

Faces that are small, hidden or seen from the side are followed badly or not at all. Some ages, skins and faces
may be served worse than others; nobody has measured that here. Hands, things before the face and the background
behind a moving head are invented."""
