"""The small pipeline as a folder, and shards of clips."""

from pathlib import Path

import pytest
from training_parts import make_pipeline, write_clips


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline of `make_pipeline`, saved. Not to be changed."""
    folder = tmp_path_factory.mktemp("small") / "model"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips. Not to be changed."""
    return write_clips(tmp_path_factory.mktemp("shards") / "train")
