"""A sample of what `fuzzing.py` does to thousands of files."""

from collections import Counter

import pytest
from fuzzing import CASES, fuzz

COUNT = 360


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return list(fuzz(COUNT, 7, tmp_path_factory.mktemp("fuzzing")))


def test_damaged_files_are_read_or_refused_in_a_sentence(outcomes):
    """In bounded time and memory, which the verdict says too."""
    assert [outcome for outcome in outcomes if outcome.verdict not in ("read", "refused")] == []


def test_damage_is_neither_harmless_nor_fatal_to_all(outcomes):
    """Else the sample would show nothing."""
    verdicts = Counter((outcome.case, outcome.verdict) for outcome in outcomes)
    assert all(verdicts[name, "refused"] for name in CASES)
    assert sum(bool(verdicts[name, "read"]) for name in CASES) >= 5
