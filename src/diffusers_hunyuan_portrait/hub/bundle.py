"""`write_bundle`: a model with the code of its networks and pipeline, which loads without this package."""

import json
import shutil
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from ..bundled import module_of, name_own_code
from ..convert.card import write_bundle_card
from ..convert.output import check_disk, check_output, written_aside
from ..errors import UserError
from ..model_folder import (
    INDEX,
    LIBRARY,
    PIPELINE_FILE,
    copy_carried,
    find_carried,
    find_own,
    tidy_configs,
    write_json,
)
from ..progress import Progress, no_progress
from .converted import CLASSES, OPTIONAL_CLASSES, read_index
from .failures import told_plainly
from .flatten import flatten

SCHEDULER_CONFIG = "scheduler_config.json"
LIBRARIES = ("diffusers", "transformers")  # that a bundle may count on, beside torch
# Of a component: pickles and code are left behind.
COMPONENT_FILES = ("*.json", "*.safetensors")


def write_bundle(
    model: str | PathLike[str],
    output: str | PathLike[str],
    *,
    name: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Writes `output`, a folder that diffusers and transformers alone load, by `trust_remote_code=True`.

    It holds all that `model` does, in each type that it has its weights in, and the code of this version of the
    package: one file for the pipeline and one for each network. `output` appears once it is whole.

    Args:
        model: folder of a converted or saved model.
        output: folder to make; it must not exist, or be empty.
        name: "owner/name" of the Hub repository that it is for, which its card speaks of.
        on_progress: called as `("bundle", bytes done, bytes in all)`.

    Returns:
        `output`.

    Raises:
        UserError: `model` is not one, is incomplete or has components with code of others, `name` cannot be a
            repository's, or `output` cannot be written.
    """
    source, output = Path(model), Path(output)
    if name is not None:
        with told_plainly(name):
            validate_repo_id(name)
    check_output(output)
    if source.resolve() in output.resolve().parents:
        raise UserError(f"{output} is inside the model {source}, which it would become a part of; give another.")
    index = read_index(source)
    files = [file for component in _find_components(source, index) for file in _find_files(source / component)]
    carried = [source / file for file in find_carried(source)]
    total = sum(file.stat().st_size for file in [*files, *carried])
    check_disk(output, total)
    report, done = on_progress or no_progress, 0
    with written_aside(output) as folder:
        for file in files:
            target = folder / file.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
            done += file.stat().st_size
            report("bundle", done, total)
        copy_carried(source, folder)
        write_code(folder, find_own(index))
        write_json(folder / INDEX, name_own_code(index))
        tidy_configs(folder)
        write_bundle_card(folder, name or output.as_posix())
        report("bundle", total, total)
    return output


def write_code(folder: Path, networks: Iterable[str]) -> None:
    """Writes the code of the pipeline and of these networks into a model's folder, made from this package's."""
    (folder / PIPELINE_FILE).write_text(flatten("pipeline", {"models": "ModelMixin"}), encoding="utf-8")
    for name in networks:
        (folder / name / f"{module_of(name)}.py").write_text(flatten(f"models.{name}"), encoding="utf-8")


def _find_components(folder: Path, index: Mapping[str, Any]) -> list[str]:
    """The components that a model has.

    Raises:
        UserError: one is missing, or its code is in none of this package, diffusers and transformers.
    """
    entries = {name: entry for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    components = {name: entry for name, entry in entries.items() if all(isinstance(part, str) for part in entry)}
    classes = {name: kind.__name__ for name, kind in {**CLASSES, **OPTIONAL_CLASSES}.items()}
    for name, (library, class_name) in components.items():
        top = library.partition(".")[0]
        is_own = top == LIBRARY and class_name == classes.get(name)
        if not is_own and (top not in LIBRARIES or name in CLASSES):
            raise UserError(
                f"The {name} of {folder} is a {class_name} of {library}, but a bundle can only have the networks "
                f"of this package and parts of {' and '.join(LIBRARIES)}."
            )
    missing = [name for name in (*CLASSES, "vae", "scheduler") if name not in components]
    if missing:
        raise UserError(f"The model in {folder} is incomplete: it has no {', '.join(missing)}; convert it again.")
    return list(components)


def _find_files(folder: Path) -> list[Path]:
    """A component's config and weights.

    Raises:
        UserError: some are missing or damaged.
    """
    files = [file for pattern in COMPONENT_FILES for file in sorted(folder.glob(pattern))]
    try:
        _check_files(folder, {file.name: file for file in files})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The model in {folder.parent} is incomplete or damaged ({folder.name}: {error}); convert it again."
        ) from error
    return files


def _check_files(folder: Path, files: Mapping[str, Path]) -> None:
    """Raises an error of any kind where one of the files is missing, or is not what its name says."""
    is_network = SCHEDULER_CONFIG not in files
    if is_network and "config.json" not in files:
        raise FileNotFoundError("it has no config.json")
    if is_network and not any(name.endswith(".safetensors") for name in files):
        raise FileNotFoundError("it has no weights in safetensors")
    for name, file in files.items():
        if name.endswith(".safetensors"):
            with safe_open(file, "pt"):  # which sees whether it is cut short
                pass
        content = json.loads(file.read_text(encoding="utf-8")) if name.endswith(".json") else {}
        missing = sorted(set(content.get("weight_map", {}).values()) - files.keys())
        if missing:
            raise FileNotFoundError(f"{', '.join(missing)} of {name} missing")
