"""What fails between here and the Hub, each kind as a sentence that says what to do."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import UserError

LOG_IN = "log in by `hf auth login` or set HF_TOKEN"
FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
# By client: huggingface_hub 1 works by the first, 2 by the second, and parts of diffusers by the third.
NETWORK_ERRORS = {
    "httpx": ("TransportError",),
    "httpx2": ("TransportError",),
    "requests": ("ConnectionError", "Timeout"),
}


@contextmanager
def told_plainly(repository: str) -> Iterator[None]:
    """Turns what the Hub, the network or the disk refuse meanwhile into a `UserError`; the rest passes as it is.

    Args:
        repository: what is fetched from or sent to, as "owner/name".
    """
    try:
        yield
    except Exception as error:
        sentence = explain(error, repository)
        if sentence is None:
            raise
        raise UserError(sentence) from error


def explain(error: BaseException, repository: str) -> str | None:
    """What went wrong with `repository` and what to do, or `None` where it is none of the kinds known here."""
    page = f"{constants.ENDPOINT}/{repository}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"Nothing can be asked of {repository} while HF_HUB_OFFLINE is set; unset it and run again."
    if isinstance(error, LocalEntryNotFoundError):  # the client's word where it had to fall back to its cache
        cause = None if error.__cause__ is None else explain(error.__cause__, repository)
        return cause or f"A file of {repository} is not in the cache, and the Hub was not asked for it."
    if isinstance(error, GatedRepoError):
        return (
            f"{repository} is only for those who accepted its terms: open {page}, accept them there, {LOG_IN} "
            "with that account, and run again."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"There is no repository {repository} on {constants.ENDPOINT}, or it is private: check the name, or "
            f"{LOG_IN} with an account that may see it."
        )
    if isinstance(error, RevisionNotFoundError):
        revision = unquote(_asked(error, "/revision/", "/resolve/").partition("/")[0])
        return f"{repository} has no revision {revision}; {page}/tree/main shows its branches and tags."
    if isinstance(error, DisabledRepoError):
        return f"{repository} has been disabled on the Hub; {page} may say why."
    if isinstance(error, RemoteEntryNotFoundError):
        file = unquote(_asked(error, "/resolve/").partition("/")[2])
        return f"{repository} has no file {file}; {page}/tree/main shows what it has."
    if isinstance(error, LocalTokenNotFoundError):
        return f"A token is needed for {repository}; {LOG_IN}."
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, repository)
    if isinstance(error, HFValidationError):
        return f"{repository!r} cannot be the name of a repository; names are like owner/name."
    if isinstance(error, (FileMetadataError, json.JSONDecodeError)):
        return f"{constants.ENDPOINT} does not answer as a Hub does; check HF_ENDPOINT, proxy and firewall."
    if _is_network_error(error):
        return (
            f"{constants.ENDPOINT} cannot be reached, or the connection broke ({reason_of(error)}); check it and "
            "run again to go on."
        )
    return _explain_disk(error) if isinstance(error, OSError) else None


def is_full(error: BaseException | None) -> bool:
    """Whether a disk is full; safetensors has no number for it, but the system's words."""
    return (isinstance(error, OSError) and error.errno in FULL) or os.strerror(errno.ENOSPC) in str(error)


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, or its name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def is_unreachable(error: BaseException | None) -> bool:
    """Whether the Hub could not be asked, or could not answer; where it refused, it could."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, (OfflineModeIsEnabled, FileMetadataError, json.JSONDecodeError)) or (
        error is not None and _is_network_error(error)
    )


def _explain_status(error: HfHubHTTPError, repository: str) -> str | None:
    status = error.response.status_code
    if status == 401:
        return f"The Hub does not take the token that it is given for {repository}; {LOG_IN} anew."
    if status == 403:
        said = error.server_message or "no reason given"
        return (
            f"The Hub does not let this account do that with {repository} ({said.rstrip('.')}); {LOG_IN} with a "
            f"token that may, from {constants.ENDPOINT}/settings/tokens."
        )
    if status == 429:
        return "The Hub has had too many requests from here; wait a few minutes and run again."
    if status >= 500:
        return f"The Hub is in trouble (it answers {status} for {repository}); run again later to go on."
    return None


def _explain_disk(error: OSError) -> str | None:
    place = error.filename or constants.HF_HUB_CACHE
    if is_full(error):
        return f"There is no space left for {place}; make room and run again to go on."
    if error.errno in NOT_WRITABLE:
        return (
            f"{place} cannot be written ({error.strerror}); set HF_HOME to a folder that can be, or change its "
            "permissions."
        )
    return None


def _asked(error: HfHubHTTPError, *places: str) -> str:
    """What stands behind one of `places` in the address that was asked."""
    path = urlsplit(str(error.response.url)).path
    return next((path.partition(place)[2] for place in places if place in path), path)


def _is_network_error(error: BaseException) -> bool:
    # Whichever client raised it has been imported; none is imported for this.
    kinds = [
        getattr(sys.modules[client], name)
        for client, names in NETWORK_ERRORS.items()
        if client in sys.modules
        for name in names
    ]
    return isinstance(error, (*kinds, ConnectionError, TimeoutError))
