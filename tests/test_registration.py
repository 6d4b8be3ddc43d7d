"""diffusers' own ways of loading find our pipeline, and saving names it shortly."""

import json
import pkgutil
import shutil
from pathlib import Path

import diffusers
import pytest
from diffusers.pipelines import pipeline_loading_utils

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.model_folder import PIPELINE_CODE
from diffusers_hunyuan_portrait.registration import register_with_diffusers

CUSTOM_PIPELINE = Path(__file__).parents[1] / "pipelines" / "hunyuan_portrait"
OURS = {"unet", "im_adapter", "motion_extractor", "pose_guider"}


def test_the_bare_class_loads_a_folder_without_a_flag(tiny_model_dir):
    pipe = diffusers.DiffusionPipeline.from_pretrained(tiny_model_dir)
    assert type(pipe) is hp.HunyuanPortraitPipeline


@pytest.mark.parametrize("inside_the_folder", [True, False])
def test_custom_pipeline_loads_it_with_trust(inside_the_folder, tiny_model_dir):
    custom = tiny_model_dir if inside_the_folder else CUSTOM_PIPELINE
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        tiny_model_dir, custom_pipeline=str(custom), trust_remote_code=True
    )
    assert isinstance(pipe, hp.HunyuanPortraitPipeline)


def test_both_pipeline_files_are_the_same(tiny_model_dir):
    assert (CUSTOM_PIPELINE / "pipeline.py").read_text() == PIPELINE_CODE
    assert (tiny_model_dir / "pipeline.py").read_text() == PIPELINE_CODE


def test_saving_writes_the_short_library_name(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "model_index.json").read_text())
    assert all(saved[name][0] == "diffusers_hunyuan_portrait" for name in OURS)


def test_without_diffusers_private_table_folders_still_load(tiny_model_dir, monkeypatch):
    monkeypatch.delitem(pipeline_loading_utils.LOADABLE_CLASSES, "diffusers_hunyuan_portrait")
    with monkeypatch.context() as without_table:
        without_table.delattr(pipeline_loading_utils, "LOADABLE_CLASSES")
        register_with_diffusers()
    for kind in (diffusers.DiffusionPipeline, hp.HunyuanPortraitPipeline):
        assert isinstance(kind.from_pretrained(tiny_model_dir).unet, hp.HunyuanPortraitUNet)


def test_no_code_in_a_folder_is_run_once_the_package_is_there(tiny_model_dir, tmp_path):
    model = Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))
    for file in [model / "pipeline.py", *model.glob("*/diffusers_hunyuan_portrait.py")]:
        file.write_text("raise SystemExit")
    assert isinstance(diffusers.DiffusionPipeline.from_pretrained(model).unet, hp.HunyuanPortraitUNet)


def test_no_module_of_ours_has_a_name_of_diffusers_pipelines():
    """diffusers would take the classes in it for its own, and save them under that name."""
    modules = pkgutil.walk_packages(hp.__path__)
    assert not [module.name for module in modules if hasattr(diffusers.pipelines, module.name)]
