"""What is other about a bundle, a model's folder that brings its own code: its index, and how it is saved."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .model_folder import INDEX, LIBRARY, PIPELINE_FILE, find_own, write_json

PIPELINE_CLASS = "HunyuanPortraitPipeline"
# The text of this file is part of a bundle's pipeline.py, too, which diffusers runs under a name of its own.
IN_BUNDLE = __name__.partition(".")[0] != LIBRARY


def module_of(component: str) -> str:
    """The name of a network's file in a bundle, without ending.

    Each has its own, as diffusers copies all of them into one folder.
    """
    return f"hunyuan_portrait_{component}"


def name_own_code(index: Mapping[str, Any]) -> dict[str, Any]:
    """A model's index as a bundle has it, whose classes are in its own files."""
    named = {name: [module_of(name), class_name] for name, class_name in find_own(index).items()}
    return {**index, **named, "_class_name": [Path(PIPELINE_FILE).stem, PIPELINE_CLASS]}


def name_package_code(index: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle's index as this package would have written it, so that none of the bundle's code is run.

    An index of any other kind comes back as it is.
    """
    if index.get("_class_name") != [Path(PIPELINE_FILE).stem, PIPELINE_CLASS]:
        return dict(index)
    named = {
        name: [LIBRARY, *entry[1:]]
        for name, entry in index.items()
        if isinstance(entry, list) and entry[:1] == [module_of(name)]
    }
    return {**index, **named, "_class_name": PIPELINE_CLASS}


def save_own_code(folder: Path) -> None:
    """Has `folder`, which diffusers saved a bundle's pipeline in, bring the code that it ran with.

    diffusers names that code by where it had copied it to, which nobody else can load.
    """
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    shutil.copyfile(__file__, folder / PIPELINE_FILE)
    index["_class_name"] = [Path(PIPELINE_FILE).stem, PIPELINE_CLASS]
    for name, entry in index.items():
        if isinstance(entry, list) and str(entry[0]).startswith("diffusers_modules."):
            module, class_name = entry
            file = Path(sys.modules[module].__file__ or "")
            shutil.copyfile(file, folder / name / file.name)
            index[name] = [file.stem, class_name]
    write_json(folder / INDEX, index)
