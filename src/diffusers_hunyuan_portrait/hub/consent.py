"""The licences of what would be fetched: told with its size, accepted once, and recorded."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from diffusers.utils import logging
from huggingface_hub import constants

from ..convert.licences import Licence
from ..errors import UserError
from .failures import told_plainly
from .fetching import format_size, replace_text

logger = logging.get_logger(__name__)

ACCEPT_VARIABLE = "HUNYUAN_PORTRAIT_ACCEPT_LICENCES"  # in the environment: the answer, where nobody can be asked
TRUE_VALUES = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Notice:
    """What a person is told before weights are fetched, and asked to accept."""

    model: str  # the name it goes by
    repository: str  # which may have terms of its own
    licences: tuple[Licence, ...]
    fetch_bytes: int  # what is still missing
    disk_bytes: int  # what is there, what is missing and what is made of it, together
    folder: Path  # where the converted model will be

    @property
    def missing(self) -> str:
        return format_size(self.fetch_bytes) if self.fetch_bytes else "nothing more"

    def __str__(self) -> str:
        lines = [
            f"{self.model} holds original checkpoints, which are converted once, for this and all later runs:",
            f"{self.missing} to fetch and {format_size(self.disk_bytes)} of disk in all, for",
            f"- the originals in {constants.HF_HUB_CACHE}",
            f"- the converted model in {self.folder}",
            "",
            "Licences:",
        ]
        for licence in self.licences:
            lines += [f"- {licence.part}: {licence.name}. {licence.terms}", f"  {licence.link}"]
        if self.repository not in [licence.repository for licence in self.licences]:
            lines += ["- What else this repository asks:", f"  {constants.ENDPOINT}/{self.repository}"]
        return "\n".join(lines)


# The answer, or who gives it: told what is asked, says whether it is accepted.
AcceptLicences = bool | Callable[[Notice], bool]


def ensure_accepted(notice: Notice, accept_licences: AcceptLicences, record: Path) -> None:
    """Sees that the licences are accepted, now or at an earlier run, and records it.

    Args:
        notice: what is asked.
        accept_licences: the answer, or who gives it. The variable HUNYUAN_PORTRAIT_ACCEPT_LICENCES says yes, too.
        record: a JSON file with what was accepted when, by repository.

    Raises:
        UserError: they are not accepted.
    """
    accepted = _read(record)
    licences = [asdict(licence) for licence in notice.licences]
    known = accepted.get(notice.repository)
    if isinstance(known, dict) and known.get("licences") == licences:
        logger.info(
            f"Preparing {notice.model}: {notice.missing} to fetch. Its licences were accepted on "
            f"{known.get('accepted_at')}."
        )
        return
    logger.info(str(notice))
    if not (accept_licences is True or _accepted_by_environment()):
        if accept_licences is False:
            raise UserError(
                f"The licences of {notice.model} have to be accepted before it is fetched: add --accept-licences "
                f"(accept_licences=True in Python), set {ACCEPT_VARIABLE}=1, or run on a terminal and say yes."
            )
        if not accept_licences(notice):
            raise UserError(f"The licences of {notice.model} were not accepted, so nothing was fetched.")
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    accepted[notice.repository] = {"accepted_at": now, "licences": licences}
    with told_plainly(notice.repository):
        record.parent.mkdir(parents=True, exist_ok=True)
        replace_text(record, json.dumps(accepted, indent=2) + "\n")


def _accepted_by_environment() -> bool:
    return os.environ.get(ACCEPT_VARIABLE, "").strip().lower() in TRUE_VALUES


def _read(record: Path) -> dict[str, Any]:
    """What was accepted; nothing, where there is no record or it is damaged, so that it is asked anew."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
