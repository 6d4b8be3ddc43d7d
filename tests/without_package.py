"""Python code run as where this package is not installed, whichever way it is here."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

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
            if "hunyuan_portrait" not in path.name and not (packages / path.name).exists():
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
