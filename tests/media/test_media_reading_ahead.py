"""What a thread reads ahead comes in order, whole, and with its errors; nothing is left running."""

import threading

import pytest

from diffusers_hunyuan_portrait.media import read_ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_everything_comes_in_order():
    assert list(read_ahead(iter(range(100)), depth=3)) == list(range(100))
    assert list(read_ahead([])) == []
    assert threads() == []


def test_no_more_than_the_depth_is_read_ahead():
    taken: list[int] = []

    def items():
        for index in range(50):
            taken.append(index)
            yield index

    reader = read_ahead(items(), depth=4)
    for index in range(10):
        assert next(reader) == index
        assert len(taken) <= index + 1 + 4 + 2  # given, ready, and in the thread's hands
    reader.close()
    assert threads() == []


def test_an_error_comes_where_it_stood():
    def items():
        yield 1
        raise OSError("the file ends here")

    reader = read_ahead(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the file ends here"):
        next(reader)
    assert threads() == []
