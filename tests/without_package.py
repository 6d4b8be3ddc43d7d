"""Python code run as where this package is not installed, whichever way it is here."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

# Neither this package, nor one whose import says much where there is no GPU, which a test would take for remarks
# on a bundle's code.
LEFT_OUT = ("hunyuan_portrait", "torchao")

# Before anything else: what follows proves nothing where the package can be imported.
ABSENCE = """
import importlib.util
assert importlib.util.find_spec("diffusers_hunyuan_portrait") is None, "the package is there"
"""


def run_without_package(code: str, folder: Path, *arguments: object, **environment: str) -> tuple[str, str]:
    """Runs code in a new process in `folder`; gives what it said on standard output and error.

    Without `site`, Python sees neither its own packages nor the files that link to an editable one; it finds the
    others by links to them.
    """
    packages = folder / "packages"
    packages.mkdir(exist_ok=True)
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(place).iterdir():
            left_out = any(name in path.name for name in LEFT_OUT)
            if not left_out and not (packages / path.name).exists():
                (packages / path.name).symlink_to(path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    settings = {"PYTHONPATH": str(packages), "HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", ABSENCE + code, *map(str, arguments)],
        cwd=folder,
        env=kept | settings | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
