"""What a video says of how it was made, in the words of C2PA."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

# IPTC's digital source types.
_SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE_BY_MODEL = _SOURCES + "trainedAlgorithmicMedia"
PASTED_BACK = _SOURCES + "compositeWithTrainedAlgorithmicMedia"

PACKAGE = "diffusers-hunyuan-portrait"
_AT_ONCE = 2**20  # bytes


@dataclass(frozen=True)
class Claim:
    """How a video was made.

    Args:
        source_type: `MADE_BY_MODEL` for the square alone, `PASTED_BACK` for one in its whole portrait.
        model: its name.
        detector: what found the faces.
        portrait: the picture's file, which is named by its hash; `None` where it was none.
    """

    source_type: str
    model: str
    detector: str
    portrait: Path | None = None

    def to_manifest(self, title: str) -> dict[str, Any]:
        """As c2pa-python takes it; `title` is the file's name."""
        version = metadata.version(PACKAGE)
        ingredient = None if self.portrait is None else _ingredient(self.portrait)
        action: dict[str, Any] = {
            "action": "c2pa.created",
            "digitalSourceType": self.source_type,
            "softwareAgent": {"name": PACKAGE, "version": version},
            "parameters": {"model": self.model, "faceDetector": self.detector},
        }
        if ingredient is not None:
            action["parameters"]["ingredientIds"] = [ingredient["instance_id"]]
        return {
            "claim_generator_info": [{"name": PACKAGE, "version": version}],
            "title": title,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
            "ingredients": [] if ingredient is None else [ingredient],
        }


def _ingredient(path: Path) -> dict[str, Any]:
    """The portrait, by its hash alone: neither its picture nor its path."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            hashed.update(part)
    name = f"sha256:{hashed.hexdigest()}"
    return {"title": "portrait", "relationship": "inputTo", "instance_id": name, "hash": name}
