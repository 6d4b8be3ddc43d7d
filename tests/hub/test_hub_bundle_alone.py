"""A bundle where this package is not installed: from a folder and from the Hub, to the last bit."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from astronaut import moving_frames, portrait_picture
from hub_server import HubServer
from PIL import Image
from runs import make_conditions, small_run
from synthetic import normal, uniform
from without_package import run_without_package

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.hub.bundle import write_bundle
from diffusers_hunyuan_portrait.media import VideoWriter

LICENCE = b"A licence."
FRAMES, PADDING = 5, 1
# The same run as `expected`'s, by the bundle's own code.
RUN = """
import sys
import torch
from diffusers import DiffusionPipeline

torch.set_num_threads(1)
inputs = torch.load("inputs.pt")
face = torch.load("face.pt")


def run(pipe):
    pipe.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 2, "window_size": 4, "window_overlap": 1}
    with torch.no_grad():
        identity = pipe.id_encoder(face).embedding
    return [identity, *(pipe(**inputs, **settings, output_type=kind).frames for kind in ("latent", "pt"))]


def load(model):
    pipe = DiffusionPipeline.from_pretrained(model, trust_remote_code=True)
    assert type(pipe).__module__.split(".")[0] == type(pipe.unet).__module__.split(".")[0] == "diffusers_modules"
    return pipe


pipe = load(sys.argv[1])
torch.save(run(pipe), "outputs.pt")
"""
NEEDS_PACKAGE = """
frames = inputs["conditions"]["motion_tokens"].shape[1]
skeletons = {"pose_images": None, "pose_keypoints": torch.zeros(1, frames, 134, 3)}
pictures = {"image": "portrait.png", "driving_video": "driving.mp4"}
for arguments in (pictures, {"image": "portrait.png"}, {"conditions": inputs["conditions"] | skeletons}):
    try:
        pipe(**arguments)
    except ValueError as error:
        print(error)
"""
SAVE_AND_LOAD = """
pipe.save_pretrained("saved")
pipe.save_pretrained("shards", max_shard_size="1MB", variant="fp16")
torch.save(run(load("saved")), "outputs-saved.pt")
"""
WITHOUT_TRUST = """
import sys
from pathlib import Path
from diffusers import DiffusionPipeline
try:
    DiffusionPipeline.from_pretrained(sys.argv[1])
except ValueError as error:
    print("trust_remote_code" in str(error), list(Path("home").rglob("*.py")))
"""


@pytest.fixture(scope="module")
def pipe(tiny_pipeline) -> hp.HunyuanPortraitPipeline:
    """The package's own, with all networks that a bundle may have code for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = hp.IDEncoder(depths=(1, 1), width=8, groups=4)
    return hp.HunyuanPortraitPipeline(**tiny_pipeline.components | {"id_encoder": encoder}, resolution=64)


@pytest.fixture(scope="module")
def bundle(pipe, tmp_path_factory) -> Path:
    """A bundle whose card calls it `bundle`, in the folder of that name. Not to be changed."""
    folder = tmp_path_factory.mktemp("bundles")
    pipe.save_pretrained(folder / "model")
    write_bundle(folder / "model", folder / "bundle", name="bundle")
    shutil.rmtree(folder / "model")
    (folder / "bundle" / "licences").mkdir()
    (folder / "bundle" / "licences" / "LICENSE").write_bytes(LICENCE)
    return folder / "bundle"


@pytest.fixture
def inputs(tmp_path) -> dict:
    """Conditions as a dict, as one has them who lacks the class, and noise; in a file, too."""
    conditions = vars(make_conditions("alone", FRAMES, pose=True, pad_frames=PADDING))
    given = {"conditions": conditions, "latents": normal("alone/noise", (1, FRAMES, 4, 8, 8))}
    torch.save(given, tmp_path / "inputs.pt")
    torch.save(uniform("alone/face", (1, 3, 112, 112)), tmp_path / "face.pt")
    return given


@pytest.fixture
def expected(pipe, inputs, tmp_path) -> list[torch.Tensor]:
    """What the package gives, on as many threads."""
    assert torch.get_num_threads() == 1
    with torch.no_grad():
        identity = pipe.id_encoder(torch.load(tmp_path / "face.pt")).embedding
    return [identity, *(small_run(pipe, output_type=kind, **inputs) for kind in ("latent", "pt"))]


def assert_equal(file: Path, expected: list[torch.Tensor]) -> None:
    outputs = torch.load(file)
    assert len(outputs) == len(expected) == 3
    assert all(torch.equal(output, wanted) for output, wanted in zip(outputs, expected, strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_versions(files: dict[str, bytes]) -> dict[str, bytes]:
    """A config says which diffusers wrote it, and the bundle may have been made by another."""
    return {name: re.sub(rb'"_diffusers_version": "[^"]*"', b"", content) for name, content in files.items()}


def test_a_folder_gives_the_packages_own_bits_and_saves_itself(bundle, inputs, expected, tmp_path):
    said, noted = run_without_package(RUN + NEEDS_PACKAGE + SAVE_AND_LOAD, tmp_path, bundle)
    assert_equal(tmp_path / "outputs.pt", expected)
    assert_equal(tmp_path / "outputs-saved.pt", expected)
    needed, incomplete, not_drawn = said.splitlines()
    assert "`pip install diffusers-hunyuan-portrait`" in needed
    assert "No module named 'diffusers_hunyuan_portrait'" in needed
    assert incomplete == "Give `image` and `driving_video`, or ready `conditions`."
    assert not_drawn.startswith("Skeletons need the package diffusers-hunyuan-portrait")
    assert not_drawn.endswith("or give `pose_images`.")
    # diffusers has nothing to remark on the code: nothing missing, no component of an unexpected type.
    remarks = [line for line in noted.splitlines() if line.strip() and "it/s" not in line]
    assert remarks == []
    assert without_versions(contents(tmp_path / "saved")) == without_versions(contents(bundle))
    assert len(list((tmp_path / "shards" / "unet").glob("*fp16*.safetensors"))) > 1
    assert (tmp_path / "shards" / "unet" / "hunyuan_portrait_unet.py").is_file()


def test_the_hub_gives_the_same_for_those_who_trust_it(bundle, inputs, expected, tmp_path):
    with HubServer() as hub:
        hub.add("someone/bundle", bundle)
        code = f"{WITHOUT_TRUST}{RUN}pipe.save_pretrained('saved')"
        refused, _ = run_without_package(code, tmp_path, "someone/bundle", HF_ENDPOINT=hub.url)
        fetched = [request.path for request in hub.requests if request.is_file]
    assert refused.strip() == "True []"  # and no code had been fetched till then
    assert_equal(tmp_path / "outputs.pt", expected)
    assert len(fetched) == len(set(fetched))
    # What it carries beside its networks is fetched for the saving, and all is there again.
    assert without_versions(contents(tmp_path / "saved")) == without_versions(contents(bundle))


def test_its_card_runs_as_pasted(bundle, tmp_path):
    """Conditions are made where the package is, in this process, and run where it is not."""
    first, second = re.findall(r"```python\n(.*?)```", (bundle / "README.md").read_text(), flags=re.DOTALL)
    assert 'DiffusionPipeline.from_pretrained("bundle", trust_remote_code=True, dtype=dtype)' in first
    Image.fromarray(portrait_picture()).save(tmp_path / "portrait.png")
    with VideoWriter(tmp_path / "driving.mp4", frame_rate=25) as writer:
        for frame in moving_frames(2):
            writer.write(frame)
    shutil.copytree(bundle, tmp_path / "bundle", copy_function=os.symlink)
    load = first.partition("frames =")[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path)
        exec(load + second, {})
    fast = first.replace('torch.load("conditions.pt")', 'torch.load("conditions.pt"), num_inference_steps=1')
    assert fast != first
    said, _ = run_without_package(f"{fast}\nprint(len(frames), frames[0].size)", tmp_path)
    assert said.split() == ["2", "(64,", "64)"]


def test_the_index_is_as_people_expect_of_such_repositories(bundle):
    index = json.loads((bundle / "model_index.json").read_text())
    for name, entry in index.items():
        if isinstance(entry, list) and entry[0] != "diffusers":
            folder = bundle if name == "_class_name" else bundle / name
            assert (folder / f"{entry[0]}.py").is_file()
