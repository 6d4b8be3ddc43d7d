"""Fixtures of the networks' tests."""

import pytest
import torch


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def one_thread():
    """The tiny networks run several times faster without other threads to wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
