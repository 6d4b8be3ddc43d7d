"""A model is found by its name, or refused with what it lacks, never run with made-up weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusers_hunyuan_portrait import loading
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.loading import choose_device, load_pipeline
from diffusers_hunyuan_portrait.tiny import make_tiny


@pytest.fixture
def folder(tiny_model_dir, tmp_path) -> Path:
    """A model that a test may damage."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError, match="is incomplete or damaged") as error:
        load_pipeline(folder, torch.device("cpu"), torch.float32)
    return str(error.value)


def test_a_missing_weight_is_named(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    del weights["conv_in.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    assert f"{folder / 'unet'} lacks 1 weights, conv_in.weight first" in refusal(folder)


def test_another_networks_weights_in_a_components_place_are_refused(folder):
    shutil.rmtree(folder / "pose_guider")
    shutil.copytree(folder / "vae", folder / "pose_guider")
    assert f"{folder / 'pose_guider'} lacks" in refusal(folder)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ([None, None], "'pose_guider'"),
        (
            ["diffusers", "AutoencoderKLTemporalDecoder"],
            "its pose_guider is of the class AutoencoderKLTemporalDecoder, not PoseGuider",
        ),
    ],
)
def test_an_index_that_names_another_class_is_refused(folder, entry, reason):
    index = json.loads((folder / "model_index.json").read_text())
    index["pose_guider"] = entry
    (folder / "model_index.json").write_text(json.dumps(index))
    shutil.rmtree(folder / "pose_guider")
    shutil.copytree(folder / "vae", folder / "pose_guider")
    assert reason in refusal(folder)


def test_pickles_are_not_looked_for(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "diffusion_pytorch_model.safetensors" in refusal(folder)


def test_settings_that_no_component_takes_are_refused(folder):
    (folder / "vae" / "config.json").write_text(json.dumps({"block_out_channels": 7}))
    assert "convert it again" in refusal(folder)


@pytest.mark.parametrize("name", ["cpu:x", "cuda:99", "meta", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(UserError, match=r"There is no device .* here; there is .*cpu"):
        choose_device(name)


# -- The models that come with this package ----------------------------------------------------------------------


@pytest.fixture
def drawn_faces(tmp_path, monkeypatch) -> Path:
    """Where its weights are looked for: nothing is there."""
    monkeypatch.setattr(loading, "DRAWN_FACES", tmp_path / "drawn_faces" / "model")
    return loading.DRAWN_FACES


def test_drawn_faces_without_its_weights_says_so_in_a_sentence(drawn_faces):
    with pytest.raises(UserError, match="The weights of drawn-faces are not in this installation") as error:
        load_pipeline("drawn-faces", "cpu")
    assert str(drawn_faces) in str(error.value)
    assert "\n" not in str(error.value)


def test_drawn_faces_is_loaded_by_its_name_from_the_package(drawn_faces, monkeypatch, tmp_path):
    made = make_tiny(torch.float16)
    made.save_pretrained(drawn_faces)
    (tmp_path / "drawn-faces").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of the same name is another thing
    pipe = load_pipeline("drawn-faces", "cpu", "fp32")
    assert pipe.config.resolution == made.config.resolution
    assert torch.equal(pipe.unet.conv_in.weight, made.unet.conv_in.weight.float())


def test_a_name_that_is_none_is_told_with_those_that_are():
    with pytest.raises(UserError, match=r"There is no model drawn; .* or one of this package: drawn-faces, tiny"):
        load_pipeline("drawn", "cpu")
