"""Published files that are not what they should be: each gets one sentence, and nothing is written or run."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusers_hunyuan_portrait.convert import convert_checkpoint
from diffusers_hunyuan_portrait.errors import CheckpointError, UserError


class Trap:
    """Unpickled without care, makes the file `path`."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def damaged(tiny_source, tiny_config, tmp_path):
    """Converts the tiny set with one file damaged, which must fail; gives what was said.

    `damage(path)` is called with the file's copy, or the place for it where `fresh`.
    """

    def call(file: str, damage, *, fresh: bool = False) -> str:
        source, output = tmp_path / "source", tmp_path / "out"
        source.mkdir()
        for path in tiny_source.iterdir():
            if path.name not in (file, "svd"):
                (source / path.name).symlink_to(path)
        shutil.copytree(tiny_source / "svd", source / "svd")
        if not fresh and not (source / file).exists():
            shutil.copy(tiny_source / file, source / file)
        damage(source / file)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UserError) as failure:
            convert_checkpoint(source, output, svd=source / "svd", config=tiny_config)
        assert sorted(tmp_path.rglob("*")) == before  # nothing written
        sentence = str(failure.value)
        assert Path(file).name in sentence
        assert "\n" not in sentence
        return sentence

    return call


def changed(change):
    """Damage: the weights in the file, changed."""

    def damage(path: Path) -> None:
        weights = torch.load(path, weights_only=True)
        change(weights)
        torch.save(weights, path)

    return damage


# -- Keys ----------------------------------------------------------------------------------------------------


def test_a_missing_key_is_named_with_the_shape_it_should_have(damaged):
    said = damaged("pose_guider.pth", changed(lambda weights: weights.pop("conv_out.bias")))
    assert "conv_out.bias is missing, expected with shape (32,)" in said


def test_a_surplus_key_is_named_with_the_shape_it_has(damaged):
    said = damaged("image_proj.pth", changed(lambda weights: weights.update(extra=torch.zeros(3, 4))))
    assert "extra is not expected, but there with shape (3, 4)" in said


def test_a_misshapen_key_is_named_with_both_shapes(damaged):
    said = damaged("motion_proj.pth", changed(lambda w: w.update({"connector.latents": torch.zeros(7, 32)})))
    assert "connector.latents has shape (7, 32), not (16, 32)" in said


def test_stacked_projections_are_held_against_their_published_shape(damaged):
    key = "blocks.0.attn.qkv.weight"
    said = damaged("dino.pth", changed(lambda weights: weights.update({key: weights[key][:64]})))
    assert f"{key} has shape (64, 64), not (192, 64)" in said


def test_positions_of_another_grid_are_refused(damaged):
    said = damaged("dino.pth", changed(lambda weights: weights.update(pos_embed=torch.zeros(1, 257, 64))))
    assert "pos_embed has shape (1, 257, 64), not (1, 1370, 64)" in said


def test_numbers_of_another_kind_are_refused(damaged):
    said = damaged("image_proj.pth", changed(lambda weights: weights.update(bias=torch.zeros(16).long())))
    assert "bias is of type torch.int64, of which kind it should not be" in said


def test_sparse_tensors_are_refused(damaged):
    said = damaged("image_proj.pth", changed(lambda w: w.update(weight=w["weight"].to_sparse())))
    assert "weight is sparse" in said


def test_tensors_without_values_are_refused(damaged):
    damage = changed(lambda weights: weights.update({"conv_in.bias": weights["conv_in.bias"].to("meta")}))
    assert "conv_in.bias is a tensor without values" in damaged("unet.pth", damage)


def test_weights_one_level_down_are_refused(damaged):
    """The published ones are plain; what wraps them was written by something else."""
    said = damaged("image_proj.pth", lambda path: torch.save({"state_dict": torch.load(path)}, path))
    assert "weight is missing" in said
    assert "state_dict is a dict, not a tensor" in said


def test_of_many_problems_the_first_few_are_named_and_the_rest_counted(damaged):
    said = damaged("pose_guider.pth", changed(lambda weights: weights.clear()))
    assert said.count("is missing") == 3
    assert "and 13 more" in said


def test_the_vaes_keys_are_accounted_for_too(damaged):
    def rename(path: Path) -> None:
        weights = load_file(path)
        weights["encoder.other.weight"] = weights.pop("encoder.conv_in.weight")
        save_file(weights, path)

    said = damaged("svd/vae/diffusion_pytorch_model.safetensors", rename)
    assert "encoder.conv_in.weight is missing, expected with shape (32, 3, 3, 3)" in said
    assert "encoder.other.weight is not expected, but there with shape (32, 3, 3, 3)" in said


def test_without_the_config_the_tiny_files_are_refused(tiny_source, tmp_path):
    with pytest.raises(CheckpointError, match=r"dino\.pth .*has shape \(1, 1, 64\), not \(1, 1, 1024\)"):
        convert_checkpoint(tiny_source, tmp_path / "out", svd=tiny_source / "svd")


# -- Files that are no checkpoints ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", b"<!DOCTYPE html>", b"\x80\x02}q\x00."[:3], bytes(1000)]
)
def test_a_file_of_another_kind_is_refused(content, damaged):
    said = damaged("unet.pth", lambda path: path.write_bytes(content), fresh=True)
    assert "is not a checkpoint of plain tensors, or it is cut short" in said


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_short_is_refused(zipped, damaged):
    def cut(path: Path) -> None:
        torch.save(torch.load(path), path, _use_new_zipfile_serialization=zipped)
        os.truncate(path, path.stat().st_size // 2)

    assert "cut short" in damaged("pose_guider.pth", cut)


def test_a_zip_that_is_no_checkpoint_is_refused(damaged):
    def pack(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")

    assert "is not a checkpoint" in damaged("dino.pth", pack, fresh=True)


def test_a_folder_is_refused(damaged):
    assert "is not a file" in damaged("dino.pth", Path.mkdir, fresh=True)


def test_a_list_of_tensors_is_refused(damaged):
    said = damaged("dino.pth", lambda path: torch.save([torch.zeros(1)], path), fresh=True)
    assert "holds a list, not a dict of weights" in said


def test_a_damaged_vae_is_refused(damaged):
    file = "svd/vae/diffusion_pytorch_model.safetensors"
    said = damaged(file, lambda path: os.truncate(path, path.stat().st_size // 2))
    assert "is not a safetensors file, or it is cut short" in said


@pytest.mark.parametrize("content", ["{", "[1, 2]", ""])
def test_a_config_that_is_not_one_is_refused(content, damaged):
    said = damaged("svd/unet/config.json", lambda path: path.write_text(content))
    assert "is not a JSON file" in said or "holds a JSON list" in said


def test_a_scheduler_with_settings_it_cannot_take_is_refused(damaged, tiny_config, monkeypatch):
    monkeypatch.setitem(tiny_config, "scheduler", {"beta_schedule": "scheduler_config.json"})
    said = damaged("svd/scheduler/scheduler_config.json", lambda path: path.write_text(json.dumps({})))
    assert "The config of scheduler makes no EulerDiscreteScheduler" in said


# -- Pickles that do more than hold tensors ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda content, path: torch.save(content, path), "beside tensors it holds posix.mkdir"),
        (
            lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
            "beside tensors it holds posix.mkdir",
        ),
        (lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2)), "it holds posix.mkdir"),
        (lambda content, path: path.write_bytes(pickle.dumps(content)), "is not a checkpoint of plain tensors"),
    ],
    ids=["torch", "torch before 1.6", "pickle", "newer pickle"],
)
def test_code_in_a_pickle_is_refused_and_not_run(write, sentence, damaged, tmp_path):
    sprung = tmp_path / "sprung"
    said = damaged("image_proj.pth", lambda path: write({"bias": Trap(sprung)}, path), fresh=True)
    assert sentence in said
    assert not sprung.exists()


def test_the_trap_would_have_sprung(tmp_path):
    """Without which the test above would show nothing."""
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_pickled_network_is_refused_by_name(damaged):
    said = damaged("image_proj.pth", lambda path: torch.save(torch.nn.Linear(2, 2), path), fresh=True)
    assert "is refused: beside tensors it holds torch.nn.modules.linear.Linear" in said
