"""The command line, for the tests of `prepare`."""

import sys

import pytest

from diffusers_hunyuan_portrait.cli.main import run


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs the command line with these words; gives the exit code and all it said, in one line."""

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hunyuan-portrait", *map(str, words)])
        try:
            run()
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        captured = capfd.readouterr()
        return code, " ".join((captured.err + captured.out).split())

    return call
