"""Converted models, published on the Hub."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from diffusers.utils import logging
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..convert.card import LICENCE_FILE, names_published_weights, update_card, write_card
from ..convert.licences import TENCENT
from ..errors import UserError
from ..model_folder import CARD
from ..progress import Progress, no_progress
from .converted import read_index
from .failures import explain, reason_of, told_plainly

logger = logging.get_logger(__name__)

MESSAGE = "Upload HunyuanPortrait for diffusers"
# What a repository may hold before a model is published in it, beside an earlier version of the model.
NEW = (".gitattributes", "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")
# A component that no other pipeline has: where it is, a repository holds an earlier version.
OWN = "motion_extractor/"


def check_publishing(name: str, *, private: bool = False, token: str | None = None) -> str:
    """Sees that a model can be published under `name` by this user, before work is put into it.

    Args:
        name: "owner/name", or "name" for one of the user's own.
        private: whether it shall be private.
        token: the user's; by default that of `hf auth login` or HF_TOKEN.

    Returns:
        `name` with its owner.

    Raises:
        UserError: it is no name of a repository, nobody is logged in, the user may not write there, or the
            repository is there and holds something else or is public where it should not be.
    """
    api = HfApi(token=token)
    with told_plainly(name):
        validate_repo_id(name)
        user = api.whoami()
    asked, _, own_name = name.rpartition("/")
    owners = [user["name"], *(organisation["name"] for organisation in user.get("orgs", []))]
    owner = next((owner for owner in owners if owner.lower() == (asked or user["name"]).lower()), None)
    if owner is None:
        raise UserError(
            f"{user['name']} cannot publish {name}: it would have to be under {' or '.join(owners)}; give another "
            "name, or log in as another user by `hf auth login`."
        )
    full_name = f"{owner}/{own_name}"
    if not _may_write(user.get("auth", {}).get("accessToken", {})):
        raise UserError(
            f"The token that {user['name']} is logged in with can only read; log in by `hf auth login` or set "
            "HF_TOKEN with one that can write."
        )
    with told_plainly(full_name):
        _check_repository(api, full_name, private)
    return full_name


def publish(
    folder: str | PathLike[str],
    name: str,
    *,
    private: bool = False,
    token: str | None = None,
    on_progress: Progress | None = None,
) -> str:
    """Uploads a converted model to a Hub repository, which is made where it is not there.

    What is sent becomes visible all at once, in one commit. Where it breaks off, `folder` stays as it is, and the
    next time nothing that arrived is sent again. The model card of `folder` is made to call the model by its name.

    Args:
        folder: a converted or saved model, or a bundle of one.
        name: "owner/name", or "name" for one of the user's own.
        private: make it a private repository.
        token: the user's; by default that of `hf auth login` or HF_TOKEN.
        on_progress: called as `("upload", bytes sent or already there, bytes in all)` after each file.

    Returns:
        The address of the repository.

    Raises:
        UserError: it is not a model, it cannot be published under that name, or the upload broke off.
    """
    folder = Path(folder)
    read_index(folder)
    name = check_publishing(name, private=private, token=token)
    with _going_on_is_told(folder, name, private):
        if (folder / CARD).is_file():
            update_card(folder, name)
        else:
            write_card(folder, name)
        if names_published_weights(folder) and not (folder / LICENCE_FILE).is_file():
            logger.warning(
                f"{folder} has no {LICENCE_FILE} file, but Tencent's licence wants to go along with the model: "
                f"add it from {TENCENT.link}."
            )
        url = _upload(HfApi(token=token), folder, name, private, on_progress or no_progress)
    return url


def _upload(api: HfApi, folder: Path, name: str, private: bool, report: Progress) -> str:
    paths = [path for path in sorted(folder.rglob("*")) if _is_published(path.relative_to(folder))]
    files = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    sizes = {file: path.stat().st_size for file, path in files.items()}
    url = api.create_repo(name, private=private or None, exist_ok=True)  # None: as its owner has it set
    additions = []
    for file, path in files.items():
        additions.append(CommitOperationAdd(file, path))
        api.preupload_lfs_files(name, additions[-1:])
        report("upload", sum(sizes[addition.path_in_repo] for addition in additions), sum(sizes.values()))
    outdated = [file for file in api.list_repo_files(name) if _is_weights(file) and file not in files]
    deletions = [CommitOperationDelete(file) for file in outdated]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [*additions, *deletions]
    api.create_commit(name, operations, commit_message=MESSAGE)
    return str(url)


def _may_write(token: dict) -> bool:
    """By what the Hub says of a token; one with rights of its own must have a right to write somewhere."""
    if token.get("role") != "fineGrained":
        return token.get("role") != "read"
    rights = token.get("fineGrained", {})
    granted = [
        *rights.get("global", []),
        *(right for each in rights.get("scoped", []) for right in each["permissions"]),
    ]
    return "repo.write" in granted


def _check_repository(api: HfApi, name: str, private: bool) -> None:
    try:
        info = api.model_info(name)
    except RepositoryNotFoundError:
        return
    if private and not info.private:
        raise UserError(
            f"{name} is there and public; make it private in its settings first, give another name, or leave "
            "--private out."
        )
    files = [file.rfilename for file in info.siblings or []]
    if any(file not in NEW for file in files) and not any(file.startswith(OWN) for file in files):
        raise UserError(f"{name} is there and holds something else; give another name.")


def _is_published(file: Path) -> bool:
    """Whether it is the model's, not what editors and tools left in its folder."""
    return not any(part.startswith(".") or part == "__pycache__" for part in file.parts)


def _is_weights(file: str) -> bool:
    """Whether it is a component's weights; those of an earlier version may be in other shards."""
    return file.count("/") == 1 and file.rpartition("/")[2].startswith("diffusion_pytorch_model")


@contextmanager
def _going_on_is_told(folder: Path, name: str, private: bool) -> Iterator[None]:
    """Says how to go on where the upload breaks off.

    Raises:
        UserError: it did.
    """
    command = f"hf upload {name} {shlex.quote(str(folder))}{' --private' if private else ''}"
    advice = f"{folder} is kept: run the same again to go on, or `{command}`."
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        logger.warning(f"Stopped. {advice}")
        raise
    except (OSError, RuntimeError, ValueError) as error:  # the client wraps what broke off a file's upload
        sentence = explain(error, name) or (error.__cause__ and explain(error.__cause__, name))
        raise UserError(
            f"{sentence or f'The upload to {name} broke off: {reason_of(error)}.'} {advice}"
        ) from error
