"""`write_bundle` and its command: what a bundle has, and what the package makes of one."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub import constants
from runs import small_run
from safetensors.torch import load_file, save_file

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.cli.main import run
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub.bundle import write_bundle
from diffusers_hunyuan_portrait.hub.converted import CLASSES
from diffusers_hunyuan_portrait.hub.originals import HubName
from diffusers_hunyuan_portrait.loading import load_pipeline

CARRIED = {"id_encoder/arcface.onnx": b"stands in for the ID encoder", "licences/svd/LICENSE": b"A licence."}
VARIANT = "unet/diffusion_pytorch_model.fp16.safetensors"
CODE = {"pipeline.py", *(f"{name}/hunyuan_portrait_{name}.py" for name in CLASSES)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> Path:
    """A model with everything that one may have. Not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "model"
    shutil.copytree(tiny_model_dir, folder, copy_function=os.symlink)
    for name, content in CARRIED.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    half = {
        key: weight.half()
        for key, weight in load_file(folder / "unet/diffusion_pytorch_model.safetensors").items()
    }
    save_file(half, folder / VARIANT, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory) -> Path:
    """Not to be changed."""
    return write_bundle(model, tmp_path_factory.mktemp("bundles") / "bundle", name="someone/bundle")


@pytest.fixture
def damaged(model, tmp_path) -> Path:
    """A model that a test may damage; its files are links, so they must be removed before they are written."""
    return Path(shutil.copytree(model, tmp_path / "damaged", symlinks=True))


# -- What it has -------------------------------------------------------------------------------------------------


def test_it_has_all_that_the_model_has_and_code_of_its_own(model, bundle):
    before, after = contents(model), contents(bundle)
    written = {"model_index.json", "README.md", "NOTICE", *CODE}
    package_code = {name for name in before if name.endswith(".py")}
    assert after.keys() - written == before.keys() - written - package_code
    assert all(after[name] == before[name] for name in after.keys() - written)
    assert after.keys() >= written
    assert not any(path.is_symlink() for path in bundle.rglob("*"))


def test_its_index_names_its_files(model, bundle):
    index = json.loads((bundle / "model_index.json").read_text())
    assert index["_class_name"] == ["pipeline", "HunyuanPortraitPipeline"]
    for name in CLASSES:
        module, class_name = index[name]
        assert f"class {class_name}(" in (bundle / name / f"{module}.py").read_text()
    others = json.loads((model / "model_index.json").read_text()).items()
    assert {name: index[name] for name, _ in others if name not in CLASSES and name != "_class_name"} == {
        name: value for name, value in others if name not in CLASSES and name != "_class_name"
    }


def test_its_code_says_whose_it_is_and_where_from(bundle):
    for name in CODE:
        lines = (bundle / name).read_text().splitlines()
        assert lines[0] == "# SPDX-License-Identifier: Apache-2.0"
        assert any("`hunyuan-portrait bundle` of diffusers-hunyuan-portrait" in line for line in lines[:6])


def test_the_command_writes_the_same_bytes_in_another_process(model, bundle, tmp_path):
    """One with another order of sets, too."""
    command = "from diffusers_hunyuan_portrait.cli.main import run\nrun()"
    words = ["bundle", str(model), str(tmp_path / "bundle"), "--name", "someone/bundle"]
    done = subprocess.run(
        [sys.executable, "-c", command, *words],
        env=os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Copying (MB)" in done.stderr
    assert f"Wrote {tmp_path / 'bundle'}" in done.stderr
    assert contents(tmp_path / "bundle") == contents(bundle)


def test_a_bundle_of_a_bundle_is_the_same(bundle, tmp_path):
    assert contents(write_bundle(bundle, tmp_path / "again", name="someone/bundle")) == contents(bundle)


def test_code_and_pickles_beside_the_weights_stay_behind(damaged, bundle, tmp_path):
    for name in ("unet/helper.py", "unet/diffusion_pytorch_model.bin", "training.log"):
        (damaged / name).write_text("no part of the model")
    assert contents(write_bundle(damaged, tmp_path / "bundle", name="someone/bundle")) == contents(bundle)


def test_progress_is_told_in_bytes(model, tmp_path):
    told = []
    bundle = write_bundle(model, tmp_path / "bundle", on_progress=lambda *report: told.append(report))
    copied = sum(path.stat().st_size for path in bundle.rglob("*.safetensors"))
    assert {stage for stage, _, _ in told} == {"bundle"}
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2] > copied


# -- What the package makes of it --------------------------------------------------------------------------------


@pytest.fixture
def sabotaged(bundle, tmp_path) -> Path:
    """The bundle with code that fails when it is run."""
    folder = Path(shutil.copytree(bundle, tmp_path / "sabotaged", copy_function=os.symlink))
    for name in CODE:
        (folder / name).unlink()
        (folder / name).write_text("raise RuntimeError('code of the bundle was run')")
    return folder


def test_our_class_loads_it_as_a_model_and_runs_none_of_its_code(sabotaged, tiny_pipeline, tmp_path):
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(sabotaged)
    assert type(pipe.unet) is hp.HunyuanPortraitUNet
    assert pipe.id_model_path.read_bytes() == CARRIED["id_encoder/arcface.onnx"]
    assert torch.equal(small_run(pipe), small_run(tiny_pipeline))
    pipe.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert saved["_class_name"] == "HunyuanPortraitPipeline"
    assert all(saved[name][0] == "diffusers_hunyuan_portrait" for name in CLASSES)


def test_the_command_line_takes_it_for_a_model_too(sabotaged, tiny_pipeline):
    pipe = load_pipeline(sabotaged, "cpu", "fp32")
    assert type(pipe) is hp.HunyuanPortraitPipeline
    assert torch.equal(small_run(pipe), small_run(tiny_pipeline))


def test_a_variant_of_its_weights_is_read(sabotaged):
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(sabotaged, variant="fp16", dtype=torch.float16)
    stored = load_file(sabotaged / VARIANT)
    assert torch.equal(pipe.unet.conv_in.weight, stored["conv_in.weight"])


def test_without_trust_diffusers_runs_none_of_its_code(sabotaged):
    with pytest.raises(ValueError, match="trust_remote_code"):
        DiffusionPipeline.from_pretrained(sabotaged)


def test_with_trust_its_own_code_runs_beside_the_packages(bundle, tiny_pipeline, tmp_path):
    """Loaded twice, as a program may; the package's own conditions serve it, too."""
    pipes = [DiffusionPipeline.from_pretrained(bundle, trust_remote_code=True) for _ in range(2)]
    assert not any(isinstance(pipe, hp.HunyuanPortraitPipeline) for pipe in pipes)
    expected = small_run(tiny_pipeline)
    assert all(torch.equal(small_run(pipe), expected) for pipe in pipes)
    pipes[0].save_pretrained(tmp_path / "saved")
    expected = {name: content for name, content in contents(bundle).items() if name != VARIANT}
    expected["README.md"] = expected["README.md"].replace(b', variant="fp16"', b"")
    assert contents(tmp_path / "saved") == expected


# -- What is refused ---------------------------------------------------------------------------------------------


def test_a_name_that_no_repository_can_have_is_refused(tiny_model_dir, tmp_path):
    with pytest.raises(UserError, match="'bad name' cannot be the name of a repository"):
        write_bundle(tiny_model_dir, tmp_path / "bundle", name="bad name")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"diffusion_pytorch_model.safetensors": b"cut short"}, "header"),
        ({"diffusion_pytorch_model.safetensors": None, VARIANT: None}, "it has no weights in safetensors"),
        ({"config.json": None}, "it has no config.json"),
        ({"config.json": b"{"}, "Expecting property name"),
        (
            {"diffusion_pytorch_model.safetensors.index.fp16.json": b'{"weight_map": {"a": "b.safetensors"}}'},
            "b.safetensors of diffusion_pytorch_model.safetensors.index.fp16.json missing",
        ),
    ],
)
def test_a_damaged_model_is_refused_by_what_is_wrong(changes, reason, damaged, tmp_path):
    for name, content in changes.items():
        (damaged / "unet" / Path(name).name).unlink(missing_ok=True)
        if content is not None:
            (damaged / "unet" / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"The model in {damaged} is incomplete or damaged \(unet: .*{reason}"):
        write_bundle(damaged, tmp_path / "bundle")
    assert not list(tmp_path.glob("*bundle*"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id_encoder": ["my_networks", "Encoder"]}, "a bundle can only have the networks of this package"),
        ({"unet": ["diffusers", "UNetSpatioTemporalConditionModel"]}, "is a UNetSpatioTemporalConditionModel of"),
        ({"unet": ["diffusers_hunyuan_portrait", "PoseGuider"]}, "is a PoseGuider of diffusers_hunyuan_portrait"),
        ({"unet": 3, "vae": ["diffusers"]}, "it has no unet, vae; convert it again"),
        ({"pose_guider": [None, None]}, "it has no pose_guider; convert it again"),
        ({"_class_name": "StableVideoDiffusionPipeline"}, "holds a StableVideoDiffusionPipeline, not a Hunyuan"),
        ({"_class_name": ["other", "HunyuanPortraitPipeline"]}, r"holds a \['other'"),
    ],
)
def test_what_is_not_all_ours_is_refused(change, reason, damaged, tmp_path):
    index = json.loads((damaged / "model_index.json").read_text())
    (damaged / "model_index.json").unlink()
    (damaged / "model_index.json").write_text(json.dumps(index | change))
    with pytest.raises(UserError, match=reason):
        write_bundle(damaged, tmp_path / "bundle")


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs the command in this process; gives the exit code and what it said, in one line."""

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hunyuan-portrait", "bundle", *map(str, words)])
        try:
            run()
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        return code, " ".join(capfd.readouterr().err.split())

    return call


def test_the_command_finds_what_was_converted_from_the_hub(model, bundle, command, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    prepared = HubName("someone/originals").folder
    prepared.parent.mkdir(parents=True)
    prepared.symlink_to(model)
    code, said = command("someone/originals", tmp_path / "bundle", "--name", "someone/bundle")
    assert code == 0, said
    assert contents(tmp_path / "bundle") == contents(bundle)


@pytest.mark.parametrize("name", ["nowhere", "someone/never-converted"])
def test_the_command_refuses_in_a_sentence(name, command, tmp_path):
    code, said = command(name, tmp_path / "bundle")
    assert code == 2
    assert said.startswith(f"Error: There is no model {name}; give a folder that")


def test_an_output_inside_the_model_is_refused(damaged):
    before = contents(damaged)
    with pytest.raises(UserError, match="is inside the model"):
        write_bundle(damaged, damaged / "deep" / "bundle")
    assert contents(damaged) == before


def test_an_output_that_holds_something_is_left_alone(model, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        write_bundle(model, tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_a_disk_without_room_is_told_of_before_anything_is_written(model, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(UserError, match=r"will take 0\.2 GB, but only 0\.0 GB are free"):
        write_bundle(model, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left"):
        write_bundle(model, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())
