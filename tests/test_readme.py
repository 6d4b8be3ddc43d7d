"""Each way of loading that the README has a line for works as the line stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer
from id_model import write_id_model
from original_files import add_originals, original_files
from without_package import run_without_package

from diffusers_hunyuan_portrait import convert_checkpoint
from diffusers_hunyuan_portrait.hub.bundle import write_bundle

REPOSITORY = Path(__file__).parents[1]
IMPORTED, INSTALLED, ABSENT = "the package, imported as `hp`", "the package, installed", "neither"
BEFORE = "import torch\nfrom diffusers import DiffusionPipeline\n"
SHOWN = "print('loaded', type(pipe).__name__, type(pipe.unet).__name__)"


def read_ways() -> list[tuple[str, str]]:
    """What each way needs, and its line."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = text.split("## Ways of loading")[1].split("\n## ")[0]
    return re.findall(r"^\| [^|]+ \| ([^|]+) \| `([^|]+)` \|$", section, re.MULTILINE)


def lines_for(need: str) -> list[str]:
    return [line for needed, line in read_ways() if needed == need]


def files_in(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def place(tiny_source, tiny_config, tmp_path_factory):
    """A folder with what the README's lines name, and a Hub with it too, whose address it is given with."""
    folder = tmp_path_factory.mktemp("readme")
    svd = tiny_source / "svd"
    convert_checkpoint(tiny_source, folder / "my-model", svd=svd, config=tiny_config, variant="fp16")
    write_bundle(folder / "my-model", folder / "my-bundle")
    (folder / "pipelines").symlink_to(REPOSITORY / "pipelines")
    write_id_model(folder / "arcface.onnx")
    with HubServer() as hub:
        hub.add("you/my-model", files_in(folder / "my-model"))
        hub.add("you/my-bundle", files_in(folder / "my-bundle"))
        hub.add("you/my-code", {"pipeline.py": REPOSITORY / "pipelines" / "hunyuan_portrait" / "pipeline.py"})
        add_originals(hub, original_files(tiny_source, tiny_config, folder / "arcface.onnx"))
        yield folder, {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}


def run(code: str, place) -> str:
    folder, settings = place
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_line_is_found_and_run_below():
    ways = read_ways()
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(ways) == text.count("| `pipe = ") == 12
    assert {need for need, _ in ways} == {IMPORTED, INSTALLED, ABSENT}


def test_with_the_package_imported(place):
    lines = lines_for(IMPORTED)
    code = BEFORE + "import diffusers_hunyuan_portrait as hp\n" + "".join(f"{line}\n{SHOWN}\n" for line in lines)
    said = run(code, place)
    assert said.count("loaded HunyuanPortraitPipeline HunyuanPortraitUNet") == len(lines) == 6


@pytest.mark.parametrize("line", lines_for(INSTALLED))
def test_with_the_package_installed(line, place):
    code = f"{BEFORE}import sys\nassert 'diffusers_hunyuan_portrait' not in sys.modules\n{line}\n{SHOWN}"
    assert "loaded HunyuanPortraitPipeline HunyuanPortraitUNet" in run(code, place)


@pytest.mark.parametrize("line", lines_for(ABSENT))
def test_without_the_package(line, place):
    folder, settings = place
    said, _ = run_without_package(f"{BEFORE}{line}\n{SHOWN}", folder, **settings)
    assert "loaded HunyuanPortraitPipeline HunyuanPortraitUNet" in said
