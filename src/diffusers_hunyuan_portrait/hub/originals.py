"""Hub repositories with original checkpoints: fetched with what goes with them, and converted once."""

import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from diffusers.utils import logging
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import WeakFileLock, validate_repo_id

from ..convert import convert_checkpoint, read_config
from ..convert.checkpoint import SVD_CONFIGS, SVD_WEIGHTS
from ..convert.layout import PUBLISHED_FILES
from ..convert.licences import ARCFACE, LICENCES, SVD, TENCENT
from ..convert.networks import ENTRIES
from ..errors import UserError
from ..model_folder import DISTRIBUTION, INDEX
from ..progress import Progress, no_progress
from .consent import AcceptLicences, Notice, ensure_accepted
from .failures import is_full, told_plainly
from .fetching import (
    HubFile,
    check_access,
    check_space,
    fetch_all,
    format_size,
    keep_revision,
    list_files,
)

logger = logging.get_logger(__name__)

PUBLISHED = TENCENT.repository
SVD_FILES = (SVD_WEIGHTS[0], *SVD_CONFIGS)
ARCFACE_REVISION, ARCFACE_FILE = "da2f1e9aa3954dad093213acfc9ae75a68da6ffd", "arcface.onnx"
CONFIG = "config.json"  # sizes, where they are not the published ones
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*")
REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*")  # as Git names them, and within a folder of the cache
PLACES = ("", "hyportrait/")  # where the seven files are in a repository or folder

# To be raised where the same files are converted to something else; what earlier versions made is left alone.
CONVERSION = 1
WAIT = 0.1  # seconds, after which another process is said to be waited for


@dataclass(frozen=True)
class HubName:
    """A repository and what is wanted of it: a branch, a tag or a commit."""

    repository: str
    revision: str = constants.DEFAULT_REVISION

    @classmethod
    def parse(cls, text: str) -> "HubName | None":
        """ "owner/name" or "owner/name@revision", or `None` where it is neither."""
        repository, at, revision = text.partition("@")
        if repository.count("/") != 1 or (at and not REVISION.fullmatch(revision)):
            return None
        try:
            validate_repo_id(repository)
        except HFValidationError:
            return None
        return cls(repository, revision) if at else cls(repository)

    def __str__(self) -> str:
        if self.revision == constants.DEFAULT_REVISION:
            return self.repository
        return f"{self.repository}@{self.revision}"

    @property
    def folder(self) -> Path:
        """Where it is converted to, as the client's `cached_assets_path` has it, which would make the folder."""
        name = f"{self.revision.replace('/', '--')}-v{CONVERSION}"
        return assets() / self.repository.replace("/", "--") / name


def assets() -> Path:
    """The folder of all converted models, in the Hub client's folder for what libraries make."""
    return Path(constants.HF_ASSETS_CACHE).expanduser() / DISTRIBUTION


def find_ready(name: HubName) -> Path | None:
    """The converted model, where it is there; nothing is asked of the network."""
    return name.folder if (name.folder / INDEX).is_file() else None


def find_place(names: Collection[str]) -> str | None:
    """Where among these files the originals are, "" or "hyportrait/"; `None` where there are none.

    One of the seven is enough: that others are missing is better said by name.
    """
    return next((place for place in PLACES if any(place + file in names for file in PUBLISHED_FILES)), None)


def prepare(
    name: HubName,
    files: Mapping[str, HubFile],
    *,
    accept_licences: AcceptLicences = False,
    on_progress: Progress | None = None,
) -> Path:
    """The folder of the model converted from a repository of originals, made where it is not there.

    Whatever stops it, what was fetched stays, and the next run goes on from there. Of processes that want the same
    model at the same time, one makes it and the others wait.

    Args:
        name: the repository.
        files: what it has, from `list_files`.
        accept_licences: whether the licences are accepted, or who is asked.
        on_progress: told of the stages "download", "check" and "convert", in bytes.

    Raises:
        UserError: the licences are not accepted, files are missing or not to be had, there is too little space, or
            they are not what is converted.
    """
    with _stopping_is_told(), _alone(name):
        if find_ready(name):  # another process made it meanwhile
            return name.folder
        wanted = _choose_files(name, files)
        check_access(wanted.all)
        fetch_bytes = sum(file.missing_bytes for file in wanted.all)
        converted_bytes = sum(file.size for file in wanted.weights)
        with told_plainly(name.repository):
            cache = Path(constants.HF_HUB_CACHE).expanduser()
            check_space(str(name), [(cache, fetch_bytes), (assets(), converted_bytes)])
        disk_bytes = sum(file.size for file in wanted.all) + converted_bytes
        notice = Notice(str(name), name.repository, LICENCES, fetch_bytes, disk_bytes, name.folder)
        ensure_accepted(notice, accept_licences, assets() / "accepted-licences.json")
        fetch_all(wanted.all, on_progress or no_progress)
        for file in wanted.all:
            keep_revision(file, wanted.revisions[file.repository])
        _convert(name, wanted, on_progress)
    logger.info(
        f"The model is ready in {name.folder}. The originals are no longer needed: "
        f"`hf cache rm model/{name.repository}` frees their {format_size(sum(f.size for f in wanted.originals))}."
    )
    return name.folder


# -- Which files -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    """The files that a conversion takes."""

    originals: tuple[HubFile, ...]  # the seven first
    svd: tuple[HubFile, ...]  # the weights first
    arcface: HubFile
    config: HubFile | None
    revisions: Mapping[str, str]  # by repository, as they were asked for

    @property
    def all(self) -> list[HubFile]:
        return [*self.originals, *self.svd, self.arcface, *([self.config] if self.config else [])]

    @property
    def weights(self) -> list[HubFile]:
        """What is converted, each of them to about its own size."""
        return [*self.originals[: len(PUBLISHED_FILES)], self.svd[0], self.arcface]


def _choose_files(name: HubName, files: Mapping[str, HubFile]) -> _Wanted:
    place = find_place(files.keys())
    originals = _pick(name, files, [f"{place}{file}" for file in PUBLISHED_FILES])
    svd_name, arcface_name = HubName(SVD.repository), HubName(ARCFACE.repository, ARCFACE_REVISION)
    svd_files = list_files(svd_name.repository, svd_name.revision)
    svd = _pick(svd_name, svd_files, SVD_FILES)
    arcface_files = list_files(arcface_name.repository, arcface_name.revision)
    (arcface,) = _pick(arcface_name, arcface_files, [ARCFACE_FILE])
    return _Wanted(
        (*originals, *_pick_licences(files)),
        (*svd, *_pick_licences(svd_files)),
        arcface,
        files.get(CONFIG),
        {each.repository: each.revision for each in (svd_name, arcface_name, name)},
    )


def _pick(name: HubName, files: Mapping[str, HubFile], wanted: Collection[str]) -> list[HubFile]:
    missing = [file for file in wanted if file not in files]
    if missing:
        raise UserError(
            f"{name} lacks {', '.join(missing)}; give another repository or revision. Without network, only what "
            "the cache has is seen."
        )
    return [files[file] for file in wanted]


def _pick_licences(files: Mapping[str, HubFile]) -> list[HubFile]:
    top = [file for file in files.values() if "/" not in file.name]
    return [file for file in top if any(fnmatchcase(file.name, pattern) for pattern in LICENCE_FILES)]


# -- Converting --------------------------------------------------------------------------------------------------


def _convert(name: HubName, wanted: _Wanted, on_progress: Progress | None) -> None:
    folder = name.folder
    # Of a process that was killed, as we are alone here; or somebody took the index away.
    for left_over in (*folder.parent.glob(f".{folder.name}.*"), *folder.parent.glob(folder.name)):
        shutil.rmtree(left_over)
    try:
        convert_checkpoint(
            wanted.originals[0].snapshot,
            folder,
            svd=wanted.svd[0].snapshot,
            config=_read_sizes(wanted.config.path) if wanted.config else None,
            arcface=wanted.arcface.path,
            on_progress=on_progress,
        )
    except UserError as error:
        if not is_full(error.__cause__):
            raise
        raise UserError(f"{error} Make room there and run again; what was fetched stays.") from error


def _read_sizes(path: Path) -> dict[str, Any] | None:
    """The sizes in a repository's config.json; `None` where it is some other program's."""
    config = read_config(path)
    return config if config.keys() & set(ENTRIES) else None


@contextmanager
def _alone(name: HubName) -> Iterator[None]:
    """Holds the lock on a model's folder, for which it waits."""
    lock = name.folder.with_name(f"{name.folder.name}.lock")
    with ExitStack() as stack:
        with told_plainly(name.repository):
            lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(WeakFileLock(lock, timeout=WAIT))
            except TimeoutError:
                logger.info(f"Another process is preparing {name}; waiting for it.")
                stack.enter_context(WeakFileLock(lock))
        yield


@contextmanager
def _stopping_is_told() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        logger.warning("Stopped. What was fetched stays, and the next run goes on from there.")
        raise
