"""Fixtures of the pipeline's tests."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these run several times faster without others to wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
