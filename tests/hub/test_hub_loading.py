"""A converted model on the Hub loads in every way there is, with what it carries, and is fetched once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import HubServer

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.tiny import make_tiny

REPOSITORY = Path(__file__).parents[2]
CODE = REPOSITORY / "pipelines" / "hunyuan_portrait"
MODEL, CODE_MODEL, OWN_ID = "someone/portrait", "someone/code", "someone/own-id-encoder"
ONNX = b"stands in for the ID encoder"
CARD = b"---\nlibrary_name: diffusers\n---\nA card.\n"
LICENCE = b"A licence."

BARE = f"""
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained("{MODEL}"{{}})
"""


@pytest.fixture(scope="module")
def own_id(tmp_path_factory) -> Path:
    """A model whose ID encoder is a component of ours."""
    encoder = hp.IDEncoder(depths=(1,), width=8, groups=4)
    folder = tmp_path_factory.mktemp("models") / "own-id-encoder"
    hp.HunyuanPortraitPipeline(**make_tiny(torch.float32).components | {"id_encoder": encoder}).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def hub(tiny_model_dir, own_id):
    files = {str(path.relative_to(tiny_model_dir)): path for path in tiny_model_dir.rglob("*") if path.is_file()}
    carried = {"id_encoder/arcface.onnx": ONNX, "README.md": CARD, "licences/svd/LICENSE": LICENCE}
    with HubServer() as hub:
        hub.add(MODEL, files | carried)
        hub.add(CODE_MODEL, {"pipeline.py": CODE / "pipeline.py"})
        hub.add(OWN_ID, own_id)
        yield hub


@pytest.fixture
def run(hub, tmp_path):
    """Runs Python code as a user whose Hub is ours; gives what it printed."""

    def call(code: str, **environment: str) -> str:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | settings | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_after_the_import_no_trust_is_asked_for_and_nothing_is_fetched_twice(run, hub, tiny_model_dir, tmp_path):
    """Both classes; what diffusers' own leaves out is fetched once it is needed, and saved with the rest."""
    before = hub.file_bytes()
    first = run(f"import diffusers_hunyuan_portrait{BARE.format('')}print(pipe.id_model_path.read_bytes())")
    assert repr(ONNX) in first
    weights = sum(path.stat().st_size for path in tiny_model_dir.rglob("*.safetensors"))
    fetched = hub.file_bytes() - before
    assert weights < fetched < weights + 50_000

    again = run(
        "import diffusers_hunyuan_portrait as hp\n"
        f"pipe = hp.HunyuanPortraitPipeline.from_pretrained('{MODEL}')\n"
        "print(type(pipe).__module__, pipe.id_model_path.read_bytes())\n"
        "pipe.save_pretrained('saved')"
    )
    assert "diffusers_hunyuan_portrait.pipeline" in again
    assert repr(ONNX) in again
    assert hub.file_bytes() - before == fetched
    expected = {str(path.relative_to(tiny_model_dir)): path.read_bytes() for path in files_in(tiny_model_dir)}
    carried = {"id_encoder/arcface.onnx": ONNX, "README.md": CARD, "licences/svd/LICENSE": LICENCE}
    saved = {str(path.relative_to(tmp_path / "saved")): path.read_bytes() for path in files_in(tmp_path / "saved")}
    assert saved.keys() == expected.keys() | carried.keys()
    assert saved == expected | carried


@pytest.mark.parametrize("custom", [str(CODE), str(CODE / "pipeline.py"), CODE_MODEL, "pipeline"])
def test_without_the_import_trust_is_enough(custom, run):
    options = f", custom_pipeline={custom!r}, trust_remote_code=True"
    said = run(
        f"{BARE.format(options)}print(type(pipe).__module__, type(pipe.unet).__module__, pipe.id_model_path)"
    )
    assert said.startswith("diffusers_hunyuan_portrait.pipeline diffusers_hunyuan_portrait.models.unet")
    assert said.strip().endswith("id_encoder/arcface.onnx")


def test_an_id_encoder_of_ours_is_found_without_the_import_and_with_it(run):
    load = f"pipe = DiffusionPipeline.from_pretrained('{OWN_ID}'"
    said = run(
        "from diffusers import DiffusionPipeline\n"
        f"{load}, custom_pipeline='pipeline', trust_remote_code=True)\nprint(type(pipe.id_encoder).__module__)\n"
        f"import diffusers_hunyuan_portrait\n{load})\nprint(type(pipe.id_encoder).__module__)"
    )
    assert said.split() == ["diffusers_hunyuan_portrait.models.id_encoder"] * 2


def test_without_trust_none_of_its_code_is_run(run):
    code = f"""
import sys
from diffusers import DiffusionPipeline
try:
    DiffusionPipeline.from_pretrained("{MODEL}", custom_pipeline="pipeline")
except ValueError as error:
    print("refused", "trust_remote_code" in str(error), "diffusers_hunyuan_portrait" in sys.modules)
"""
    assert run(code).split() == ["refused", "True", "False"]


def test_offline_the_cache_is_enough(run, hub):
    load = (
        "import diffusers_hunyuan_portrait as hp\n"
        f"pipe = hp.HunyuanPortraitPipeline.from_pretrained('{MODEL}')\nprint(pipe.id_model_path.read_bytes())"
    )
    run(load)
    asked = len(hub.requests)
    assert repr(ONNX) in run(load, HF_HUB_OFFLINE="1")
    assert len(hub.requests) == asked


def test_a_revision_is_kept_to(run, hub, tiny_model_dir):
    """What the model carries comes from the commit asked for, not from a later one."""
    files = {str(path.relative_to(tiny_model_dir)): path for path in files_in(tiny_model_dir)}
    first = hub.add("someone/moving", files | {"id_encoder/arcface.onnx": b"first"})
    hub.add("someone/moving", files | {"id_encoder/arcface.onnx": b"second"})
    said = run(
        "import diffusers, diffusers_hunyuan_portrait as hp\n"
        "for kind in (diffusers.DiffusionPipeline, hp.HunyuanPortraitPipeline):\n"
        f"    for revision in ('{first}', 'main'):\n"
        "        pipe = kind.from_pretrained('someone/moving', revision=revision)\n"
        "        print(pipe.id_model_path.read_text())"
    )
    assert said.split() == ["first", "second"] * 2


def test_published_checkpoints_are_told_from_a_pipeline(run, hub):
    hub.add("someone/published", {"unet.pth": b"weights"})
    said = run(
        "import diffusers_hunyuan_portrait as hp\n"
        "try:\n    hp.HunyuanPortraitPipeline.from_pretrained('someone/published')\n"
        "except ValueError as error:\n    print(error)"
    )
    assert "someone/published holds the published checkpoints" in said
    assert "hunyuan-portrait animate --model" in said


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
