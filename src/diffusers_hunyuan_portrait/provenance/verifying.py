"""Reading credentials back: whether a file is as it was signed, by whom, and how it says it was made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import c2pa

from ..errors import UnreadableMediaError, UserError
from .signing import CARRIERS

# What C2PA notes where a file has been changed; other notes are on the signer.
_SIGNER_NOTES = ("signingCredential.", "timeStamp.")


@dataclass(frozen=True)
class Verdict:
    """What a file's credentials are worth.

    Args:
        is_signed: whether there are any; the others mean nothing where there are none.
        is_unchanged: whether the file is as it was signed.
        is_trusted: whether the signer is in the trust list.
        signer: the name in the certificate.
        actions: what the file says was done, with what.
        notes: C2PA's own words for what is wrong.
    """

    is_signed: bool
    is_unchanged: bool = False
    is_trusted: bool = False
    signer: str = ""
    actions: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def verify(path: Path, trust_list: Path | None = None) -> Verdict:
    """The verdict on a file.

    Args:
        path: a video or picture.
        trust_list: PEM file of the certificates that are trusted to vouch for signers; none by default.

    Raises:
        UserError: a file cannot be read.
    """
    if path.suffix.lower() not in CARRIERS:
        if not path.is_file():
            raise UnreadableMediaError(f"{path} does not exist; give the path of a video or picture.")
        return Verdict(is_signed=False)
    settings: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if trust_list is not None:
        try:
            settings["trust"] = {"trust_anchors": trust_list.read_text()}
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The trust list {trust_list} cannot be read ({error}).") from error
    try:
        with path.open("rb") as file, c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(CARRIERS[path.suffix.lower()], file, None, context)
            if reader is None:
                return Verdict(is_signed=False)
            with reader:
                return _judge(json.loads(reader.json()))
    except OSError as error:
        raise UnreadableMediaError(f"{path} cannot be read: {error.strerror}.") from error
    except c2pa.C2paError as error:
        # Credentials that are there and cannot be read have been changed.
        return Verdict(is_signed=True, notes=(str(error),))


def _judge(store: dict[str, Any]) -> Verdict:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    notes = [status["code"] for status in store.get("validation_status", [])]
    faults = [note for note in notes if not note.startswith(_SIGNER_NOTES)]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"].get("actions", [])
    ]
    return Verdict(
        is_signed=True,
        is_unchanged=not faults and store.get("validation_state") in ("Valid", "Trusted"),
        is_trusted=store.get("validation_state") == "Trusted",
        signer=manifest.get("signature_info", {}).get("common_name", ""),
        actions=tuple(actions),
        notes=tuple(notes),
    )
