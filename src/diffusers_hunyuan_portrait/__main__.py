"""`python -m diffusers_hunyuan_portrait` is `hunyuan-portrait`, for launchers that take a module."""

from .cli.main import run

run()
