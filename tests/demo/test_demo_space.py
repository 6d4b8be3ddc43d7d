"""`bundle --space`: a folder that starts as a Space does, with a README that the Hub can read."""

import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from demo_server import PATIENCE, free_port
from gradio_client import Client
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

from diffusers_hunyuan_portrait.demo.space import write_space
from diffusers_hunyuan_portrait.errors import UserError


def wait_for(address: str, process: subprocess.Popen) -> Client:
    """A client of the app, once it answers."""
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "the app ended"
        try:
            return Client(address, verbose=False)
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


@pytest.fixture
def space(tmp_path) -> Path:
    return write_space(tmp_path / "space", "drawn-faces")


def test_it_starts_with_nothing_but_its_folder(space, tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=space,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client = wait_for(f"http://127.0.0.1:{port}/", process)
        endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/animate"]
        names = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        assert names[:2] == ["portrait", "driving"]
        assert {"steps", "seed", "motion_scale"} <= set(names)
        client.close()
    finally:
        process.terminate()
        said = process.communicate(timeout=PATIENCE)[1]
    assert "Traceback" not in said
    assert not list(tmp_path.glob("hunyuan-portrait-demo-*"))  # its temporary folder is gone


def test_its_readme_is_what_the_hub_reads(space):
    card = SpaceCard.load(space / "README.md").data
    assert card.sdk == "gradio"
    assert card.sdk_version == metadata.version("gradio")
    assert (space / card.app_file).is_file()
    assert card.license == "apache-2.0"
    assert len(card.short_description) <= 60  # the Hub takes no longer one


def test_it_requires_this_version_with_what_the_page_needs(space):
    (line,) = (space / "requirements.txt").read_text().splitlines()
    requirement = Requirement(line)
    assert requirement.name == "diffusers-hunyuan-portrait"
    assert requirement.specifier.contains(metadata.version("diffusers-hunyuan-portrait"))
    assert requirement.extras <= set(metadata.metadata("diffusers-hunyuan-portrait").get_all("Provides-Extra"))


def test_a_model_of_the_hub_is_named_and_its_terms_told(tmp_path):
    space = write_space(tmp_path / "space", "tencent/HunyuanPortrait")
    assert '"--model", "tencent/HunyuanPortrait"' in (space / "app.py").read_text()
    readme = SpaceCard.load(space / "README.md")
    assert readme.data.models == ["tencent/HunyuanPortrait"]
    assert "HUNYUAN_PORTRAIT_ACCEPT_LICENCES" in readme.text


def test_a_folder_is_no_model_for_a_space(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match="fetches its model from the Hub"):
        write_space(tmp_path / "space", str(tmp_path / "model"))
    assert not (tmp_path / "space").exists()
