"""Files of Hub repositories, into the Hub client's own cache: resumed where a run stopped, and verified."""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from diffusers.utils import logging
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, tqdm

from ..errors import UserError
from ..model_folder import DISTRIBUTION
from ..progress import Progress
from .failures import is_unreachable, told_plainly

logger = logging.get_logger(__name__)

COMMIT, DIGEST = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
READ_SIZE = 2**22  # bytes hashed at a time
DISK_MARGIN = 2**26  # bytes for what is small, and the file system
ATTEMPTS = 2  # where a file arrives damaged

Report = Callable[[int], None]  # told of bytes as they come; negative where a server starts a file anew


@dataclass(frozen=True)
class HubFile:
    """One file of a repository at one commit, and where the Hub client's cache has it."""

    repository: str
    commit: str
    name: str
    size: int  # bytes
    # SHA-256 of what Git LFS keeps, else Git's hash of the content. The cache names the content by it, but for one
    # without links, in which nothing is known of a file that the Hub is not asked about.
    digest: str | None

    @property
    def storage(self) -> Path:
        return _storage(self.repository)

    @property
    def blob(self) -> Path:
        return self.storage / "blobs" / str(self.digest)

    @property
    def partial(self) -> Path:
        """What of it arrived, under the name that the client knows for interrupted downloads."""
        return self.blob.with_name(f"{self.digest}.incomplete")

    @property
    def lock(self) -> Path:
        """The client's own, so that it waits for us and we for it."""
        return Path(_cache(), ".locks", self.storage.name, f"{self.digest}.lock")

    @property
    def snapshot(self) -> Path:
        """The folder of its commit, in which files have their names."""
        return self.storage / "snapshots" / self.commit

    @property
    def path(self) -> Path:
        return self.snapshot / self.name

    @property
    def cached(self) -> Path | None:
        """Where it is in the cache, by its name or at least its content."""
        return next((path for path in (self.path, self.blob) if path.exists()), None)

    @property
    def missing_bytes(self) -> int:
        """How much of it is still to be fetched."""
        if self.cached:
            return 0
        there = self.partial.stat().st_size if self.partial.exists() else 0
        return self.size - there if there <= self.size else self.size  # longer, it is something else


def _cache() -> Path:
    return Path(constants.HF_HUB_CACHE).expanduser()


def _storage(repository: str) -> Path:
    return _cache() / repo_folder_name(repo_id=repository, repo_type="model")


# -- What a repository has ---------------------------------------------------------------------------------------


def list_files(repository: str, revision: str) -> dict[str, HubFile]:
    """A repository's files by name, as the Hub has them or, where it cannot be asked, as the cache has.

    Args:
        repository: "owner/name".
        revision: a branch, a tag or a commit.

    Raises:
        UserError: there is no such repository or revision, it is not open to this account, or the Hub cannot be
            reached and the cache has none of it.
    """
    try:
        with told_plainly(repository):
            info = HfApi().model_info(
                repository, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
            )
    except UserError as error:
        cached = list_cached(repository, revision) if is_unreachable(error.__cause__) else {}
        if not cached:
            raise
        logger.info(f"The Hub cannot be asked; going on with what the cache has of {repository}.")
        return cached
    files = {}
    for sibling in info.siblings or ():
        size, digest = sibling.size, sibling.blob_id
        if sibling.lfs is not None:
            size, digest = sibling.lfs.size, sibling.lfs.sha256
        if not DIGEST.fullmatch(digest or ""):  # a path is made of it
            raise UserError(
                f"{constants.ENDPOINT} names {sibling.rfilename} of {repository} by no hash; check HF_ENDPOINT."
            )
        files[sibling.rfilename] = HubFile(repository, str(info.sha), sibling.rfilename, size or 0, digest)
    return files


def list_cached(repository: str, revision: str) -> dict[str, HubFile]:
    """The files of a repository that the cache has, by their names."""
    storage = _storage(repository)
    ref = storage / "refs" / revision
    commit = ref.read_text(encoding="utf-8") if ref.is_file() else revision
    snapshot = storage / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return {}
    files = {}
    for path in sorted(snapshot.rglob("*")):
        if path.is_file():
            name = path.relative_to(snapshot).as_posix()
            digest = Path(os.readlink(path)).name if path.is_symlink() else None
            files[name] = HubFile(repository, commit, name, path.stat().st_size, digest)
    return files


# -- Before fetching ---------------------------------------------------------------------------------------------


def check_access(files: Iterable[HubFile]) -> None:
    """Asks the Hub after a missing file of each repository, so that a closed door is told before all fetching.

    Raises:
        UserError: it is not to be had.
    """
    # Of each the largest: cards and licences may be open where weights are not.
    missing = sorted((file for file in files if file.missing_bytes), key=lambda file: file.size)
    for file in {file.repository: file for file in missing}.values():
        with told_plainly(file.repository):
            get_hf_file_metadata(_address(file))


def check_space(wanted_for: str, needed: Iterable[tuple[Path, int]]) -> None:
    """Sees that the disks have room.

    Args:
        wanted_for: what for, as it is told.
        needed: folders, that need not exist yet, and the bytes that go there.

    Raises:
        UserError: a disk has not.
    """
    disks: dict[int, tuple[Path, int]] = {}
    for place, num_bytes in needed:
        folder = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
        disk = folder.stat().st_dev
        disks[disk] = folder, disks.get(disk, (folder, 0))[1] + num_bytes
    for folder, num_bytes in disks.values():
        free = shutil.disk_usage(folder).free
        if num_bytes and free < num_bytes + DISK_MARGIN:
            raise UserError(
                f"{wanted_for} needs {format_size(num_bytes + DISK_MARGIN)} on the disk of {folder}, of which "
                f"{format_size(free)} are free; make room, or set HF_HOME to a folder on another disk."
            )


def format_size(num_bytes: int) -> str:
    """Bytes as people read them: "8.4 GB"."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


# -- Fetching ----------------------------------------------------------------------------------------------------


def fetch_all(files: Iterable[HubFile], on_progress: Progress) -> dict[HubFile, Path]:
    """Where each file is in the cache, whole and verified; what is missing of them is fetched.

    The small ones come first: what can go wrong with them does so before the large ones are fetched.

    Args:
        files: what to fetch.
        on_progress: told of the stages "download" and "check", in bytes.

    Raises:
        UserError: as `fetch`.
    """
    ordered = sorted(files, key=lambda file: file.size)
    on_fetched = _counter("download", sum(file.missing_bytes for file in ordered), on_progress)
    on_checked = _counter("check", sum(file.size for file in ordered), on_progress)
    return {file: fetch(file, on_fetched, on_checked) for file in ordered}


def _counter(stage: str, total: int, on_progress: Progress) -> Report:
    done = 0

    def count(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        on_progress(stage, max(0, min(done, total)), total)  # what arrives damaged is counted twice

    return count


def fetch(file: HubFile, on_fetched: Report, on_checked: Report) -> Path:
    """The path of the file in the cache, whole and verified; what is missing of it is fetched.

    The client's own download starts a file anew at each run, which for one of several gigabytes may be never to
    have it. Here the client fetches what is missing, and the parts and the whole are where its cache wants them.

    Args:
        file: what to fetch.
        on_fetched: told of bytes as they arrive.
        on_checked: told of bytes as they are verified.

    Raises:
        UserError: it is not to be had, it arrives damaged again and again, or it cannot be written.
    """
    with told_plainly(file.repository):
        cached = file.cached
        if cached and not _is_whole(cached, file, on_checked):
            logger.warning(f"{file.name} of {file.repository} is damaged in the cache; it is fetched anew.")
            for path in {cached, cached.resolve()}:
                path.unlink(missing_ok=True)
            cached = file.cached
        if not cached:
            file.blob.parent.mkdir(parents=True, exist_ok=True)
            file.lock.parent.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(file.lock):
                if not file.blob.exists():  # else another program fetched it meanwhile
                    _fetch_blob(file, on_fetched, on_checked)
        # Gives the content its name in the snapshot, and fetches nothing that is there.
        HfApi().hf_hub_download(file.repository, file.name, revision=file.commit, cache_dir=_cache())
        return file.path


def keep_revision(file: HubFile, revision: str) -> None:
    """Has the cache note which commit a branch or tag stood for, which a run without network goes by."""
    if COMMIT.fullmatch(revision):
        return
    ref = file.storage / "refs" / revision
    with told_plainly(file.repository):
        if ref.is_file() and ref.read_text(encoding="utf-8") == file.commit:
            return
        ref.parent.mkdir(parents=True, exist_ok=True)
        replace_text(ref, file.commit)


def replace_text(path: Path, text: str) -> None:
    """Writes a file that other processes may be reading, so that they find the old or the new text."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _fetch_blob(file: HubFile, on_fetched: Report, on_checked: Report) -> None:
    for attempt in range(ATTEMPTS):
        if attempt:
            logger.warning(f"{file.name} of {file.repository} arrived damaged; it is fetched once more.")
        _download(file, on_fetched)
        if _is_whole(file.partial, file, on_checked):
            file.partial.replace(file.blob)
            return
        file.partial.unlink()
    raise UserError(
        f"{file.name} of {file.repository} arrived damaged {ATTEMPTS} times and was thrown away; run again later, "
        "and look for a proxy or mirror (HF_ENDPOINT) that changes files."
    )


def _download(file: HubFile, on_fetched: Report) -> None:
    """Fetches what is missing of a file into `file.partial`."""
    if file.partial.exists() and file.partial.stat().st_size > file.size:
        file.partial.unlink()
    with file.partial.open("ab") as partial:
        there = partial.tell()
        if there < file.size:
            http_get(
                _address(file),
                partial,
                resume_size=there,
                # Uncompressed, as only then a part of the file is a part of what is sent.
                headers={**_headers(), "Accept-Encoding": "identity"},
                displayed_filename=file.name,
                tqdm_class=_silent_bar(on_fetched),
            )


def _silent_bar(on_fetched: Report) -> type[tqdm]:
    """What the client takes for a progress bar of its own."""

    class SilentBar(tqdm):
        def __init__(self, *args: Any, **settings: Any):
            super().__init__(*args, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> None:
            on_fetched(int(n or 0))

    return SilentBar


def _is_whole(path: Path, file: HubFile, on_checked: Report) -> bool:
    """Whether the content has the size and the hash that the Hub says; without a hash, the size alone."""
    if path.stat().st_size != file.size or file.digest is None:
        return path.stat().st_size == file.size
    if len(file.digest) == 40:
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    else:
        digest = hashlib.sha256()
    with path.open("rb") as content:
        while part := content.read(READ_SIZE):
            digest.update(part)
            on_checked(len(part))
    return digest.hexdigest() == file.digest


def _address(file: HubFile) -> str:
    return hf_hub_url(file.repository, file.name, revision=file.commit, endpoint=constants.ENDPOINT)


def _headers() -> dict[str, str]:
    """With the user's token, where there is one."""
    return build_hf_headers(library_name=DISTRIBUTION, library_version=metadata.version(DISTRIBUTION))
