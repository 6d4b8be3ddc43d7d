"""Conversion of the tiny set: what is in the folder, what loads from it, and that it comes whole or not at all.

Its numbers are held against the golden files by the tests of the networks and of the pipeline, which run on it.
"""

import json
import logging
import math
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic import state_dict, tiny_model

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.convert import checkpoint, convert_checkpoint
from diffusers_hunyuan_portrait.errors import CheckpointError, UserError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def linked(source: Path, folder: Path, without: tuple[str, ...] = ()) -> Path:
    """`folder`, made with links to what is in `source`."""
    folder.mkdir(parents=True)
    for path in source.iterdir():
        if path.name not in without:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def convert(tiny_source, tiny_config, tmp_path):
    """Converts the tiny set with other arguments where given; the output is `tmp_path / "out" / "model"`.

    What a test wrote is removed after it: 0.2 GB each would add up.
    """
    (tmp_path / "out").mkdir()

    def call(source: Path = tiny_source, **options) -> Path:
        options = {"svd": tiny_source / "svd", "config": tiny_config, **options}
        return convert_checkpoint(source, options.pop("output", tmp_path / "out" / "model"), **options)

    call.output = tmp_path / "out" / "model"
    yield call
    shutil.rmtree(tmp_path)


# -- What comes out ------------------------------------------------------------------------------------------


def test_the_folder_holds_a_pipeline_under_short_names(tiny_model_dir):
    index = json.loads((tiny_model_dir / "model_index.json").read_text())
    assert index["_class_name"] == "HunyuanPortraitPipeline"
    assert index["resolution"] == 64
    assert "id_encoder" not in index  # diffusers would take the ONNX file in that folder for its weights
    assert index["vae"] == ["diffusers", "AutoencoderKLTemporalDecoder"]
    assert index["scheduler"] == ["diffusers", "EulerDiscreteScheduler"]
    for name, network in {
        "unet": "HunyuanPortraitUNet",
        "im_adapter": "IMAdapter",
        "motion_extractor": "MotionExtractor",
        "pose_guider": "PoseGuider",
    }.items():
        assert index[name] == ["diffusers_hunyuan_portrait", network]
        assert (tiny_model_dir / name / WEIGHTS).is_file()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_saving_what_was_loaded_changes_no_byte(tiny_model_dir, tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path / "saved")
    written, saved = contents(tiny_model_dir), contents(tmp_path / "saved")
    assert written.keys() == saved.keys()
    assert {file for file in written if written[file] != saved[file]} == set()
    assert len([file for file in written if file.endswith(".safetensors")]) == 5
    shutil.rmtree(tmp_path / "saved")


def test_the_same_files_give_the_same_bytes(tiny_source, convert):
    options = {"variant": "fp16", "max_shard_size": "20MB", "name": "lab/portraits"}
    first = contents(convert(**options))
    shutil.rmtree(convert.output)
    assert contents(convert(**options)) == first


def test_a_hyportrait_folder_is_found_and_the_id_encoder_beside_it(tiny_source, convert, tmp_path):
    home = tmp_path / "home"
    linked(tiny_source, home / "hyportrait", without=("svd",))
    (home / "arcface.onnx").write_bytes(b"onnx")
    output = convert(home)
    assert (output / "id_encoder" / "arcface.onnx").read_bytes() == b"onnx"
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(output)
    assert pipe.id_model_path == output / "id_encoder" / "arcface.onnx"
    pipe.save_pretrained(tmp_path / "saved")
    for name in ["id_encoder/arcface.onnx", "pipeline.py"]:
        assert (tmp_path / "saved" / name).read_bytes() == (output / name).read_bytes()


def test_a_given_id_encoder_comes_before_one_that_is_found(tiny_source, convert, tmp_path):
    source = linked(tiny_source, tmp_path / "home")
    (source / "arcface.onnx").write_bytes(b"found")
    (tmp_path / "mine.onnx").write_bytes(b"given")
    output = convert(source, arcface=tmp_path / "mine.onnx")
    assert (output / "id_encoder" / "arcface.onnx").read_bytes() == b"given"


def test_without_an_id_encoder_there_is_no_folder_for_it(tiny_model_dir, tiny_pipeline):
    assert not (tiny_model_dir / "id_encoder").exists()
    assert tiny_pipeline.id_model_path is None


def test_old_pickles_give_the_same(tiny_source, tiny_model_dir, convert, tmp_path):
    """Those from before PyTorch 1.6, which cannot be mapped."""
    source = linked(tiny_source, tmp_path / "old", without=("pose_guider.pth",))
    weights = torch.load(tiny_source / "pose_guider.pth", weights_only=True)
    torch.save(weights, source / "pose_guider.pth", _use_new_zipfile_serialization=False)
    file = Path("pose_guider", WEIGHTS)
    assert (convert(source) / file).read_bytes() == (tiny_model_dir / file).read_bytes()


@pytest.mark.parametrize("size", [" 1000 kb ", 10**6])
def test_shards_hold_the_same_weights(size, tiny_model_dir, convert):
    folder = convert(max_shard_size=size) / "unet"
    index = json.loads((folder / (WEIGHTS + ".index.json")).read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1
    assert sorted(path.name for path in folder.glob("*.safetensors")) == shards
    assert max((folder / shard).stat().st_size for shard in shards) < 1.1e6  # with the file's header
    whole = hp.HunyuanPortraitUNet.from_pretrained(tiny_model_dir / "unet").state_dict()
    sharded = hp.HunyuanPortraitUNet.from_pretrained(folder).state_dict()
    assert whole.keys() == sharded.keys()
    assert all(torch.equal(whole[key], sharded[key]) for key in whole)


def test_progress_runs_to_the_number_of_bytes_written(convert):
    reports = []
    output = convert(on_progress=lambda *report: reports.append(report))
    stages, done, totals = (set(values) for values in zip(*reports, strict=True))
    assert stages == {"convert"}
    assert len(done) == len(reports)  # always further
    written = sum(tensor.nbytes for file in output.glob("*/*.safetensors") for tensor in load_file(file).values())
    assert totals == {max(done)} == {written}


def test_sizes_of_the_config_override_svds(tiny_source, tiny_config, convert, tmp_path):
    svd = tmp_path / "svd"
    shutil.copytree(tiny_source / "svd", svd)
    for part in ("vae", "unet"):
        file = svd / part / "config.json"
        sizes = json.loads(file.read_text())
        file.write_text(json.dumps(sizes | {"block_out_channels": [999], "_class_name": "Other"}))
    output = convert(svd=svd)
    for part in ("vae", "unet"):
        written = json.loads((output / part / "config.json").read_text())
        assert written["block_out_channels"] == tiny_config[part]["block_out_channels"]


def test_without_sizes_for_the_vae_the_resolution_is_the_published_512(tiny_config, convert):
    sizes = {entry: value for entry, value in tiny_config.items() if entry != "vae"}
    index = json.loads((convert(config=sizes) / "model_index.json").read_text())
    assert index["resolution"] == 512


# -- Types of the weights ------------------------------------------------------------------------------------


def dtypes(folder: Path) -> set[torch.dtype]:
    return {weight.dtype for weight in load_file(folder / WEIGHTS).values() if weight.is_floating_point()}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("fp16", torch.float16),
        ("bf16", torch.bfloat16),
        ("fp32", torch.float32),
        (torch.bfloat16, torch.bfloat16),
    ],
)
def test_all_but_the_motion_extractor_are_cast(asked, given, convert):
    output = convert(dtype=asked)
    for network in ("unet", "im_adapter", "pose_guider", "vae"):
        assert dtypes(output / network) == {given}
    assert dtypes(output / "motion_extractor") == {torch.float32}
    counters = [
        weight
        for key, weight in load_file(output / "im_adapter" / WEIGHTS).items()
        if key.endswith("num_batches_tracked")
    ]
    assert counters
    assert all(counter.dtype == torch.int64 for counter in counters)


def test_positions_are_interpolated_before_they_are_cast(tiny_model_dir, convert):
    exact = load_file(tiny_model_dir / "im_adapter" / WEIGHTS)
    cast = load_file(convert(dtype="fp16") / "im_adapter" / WEIGHTS)
    key = "backbone.embeddings.position_embeddings"
    assert exact[key].shape == (1, 1 + 16 * 16, 64)
    assert torch.equal(cast[key], exact[key].half())


def test_by_default_each_file_keeps_its_published_type(tiny_source, convert, tmp_path):
    svd = linked(tiny_source / "svd", tmp_path / "svd", without=("vae",))
    (svd / "vae").mkdir()
    shutil.copy(tiny_source / "svd" / "vae" / "config.json", svd / "vae")
    weights = state_dict(tiny_model()["manifest"]["vae"], "tiny.vae.")
    half = {key: weight.half() for key, weight in weights.items()}
    save_file(half, svd / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    output = convert(svd=svd)
    assert dtypes(output / "vae") == {torch.float16}
    assert dtypes(output / "unet") == dtypes(output / "motion_extractor") == {torch.float32}


@pytest.mark.parametrize(("value", "dtype"), [(math.nan, None), (1e6, "fp16")])
def test_values_that_are_not_finite_are_named(value, dtype, tiny_source, convert, tmp_path, caplog, monkeypatch):
    source = linked(tiny_source, tmp_path / "source", without=("unet.pth",))
    weights = torch.load(tiny_source / "unet.pth", weights_only=True)
    weights["conv_in.bias"][3] = value
    torch.save(weights, source / "unet.pth")
    monkeypatch.setattr(checkpoint.logger, "handlers", [caplog.handler])  # wherever the log goes otherwise
    monkeypatch.setattr(checkpoint.logger, "propagate", False)
    convert(source, dtype=dtype)
    (said,) = caplog.messages
    stored = "float16" if dtype else "float32"
    assert f"conv_in.bias of {source / 'unet.pth'} holds infinite values or NaN as torch.{stored}" in said


# -- Variants ------------------------------------------------------------------------------------------------

CAST = ("unet", "im_adapter", "pose_guider", "vae")


@pytest.mark.parametrize(("variant", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_a_variant_is_the_main_files_in_half_precision(
    variant, dtype, tiny_pipeline, convert, caplog, monkeypatch
):
    output = convert(variant=variant)
    monkeypatch.setattr(logging.getLogger("diffusers"), "handlers", [caplog.handler])
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(output, variant=variant, dtype=dtype)
    assert not caplog.messages
    for name, component in tiny_pipeline.components.items():
        if name in (*CAST, "motion_extractor"):
            expected = component.state_dict()
            if name in CAST:
                expected = {key: w.to(dtype) if w.is_floating_point() else w for key, w in expected.items()}
            loaded = getattr(pipe, name).state_dict()
            assert all(torch.equal(loaded[key], weight) for key, weight in expected.items()), name
    plain = hp.HunyuanPortraitPipeline.from_pretrained(output)
    assert plain.unet.dtype is torch.float32


@pytest.mark.parametrize("size", ["1GB", "1MB"])
def test_its_files_are_those_that_saving_the_variant_writes(size, convert, tmp_path):
    output = convert(variant="fp16", max_shard_size=size)
    unet = hp.HunyuanPortraitUNet.from_pretrained(output / "unet", variant="fp16", torch_dtype=torch.float16)
    unet.save_pretrained(tmp_path / "saved", variant="fp16", max_shard_size=size)
    saved = contents(tmp_path / "saved")
    del saved["config.json"]
    written = contents(output / "unet")
    assert {file: content for file, content in written.items() if "fp16" in file} == saved
    assert not list((output / "motion_extractor").glob("*fp16*"))


def test_a_sharded_motion_extractor_goes_with_a_sharded_variant(convert):
    """The extractor in float32 has main files alone, which the loader has to find beside the others' variants."""
    output = convert(variant="fp16", max_shard_size="1MB")
    assert len(list((output / "motion_extractor").glob("*-of-*.safetensors"))) > 1
    for name in ("pose_guider", "unet"):  # what is not asked for is not needed
        for path in (output / name).glob("*.safetensors*"):
            if "fp16" not in path.name:
                path.unlink()
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(output, variant="fp16", dtype=torch.float16)
    assert pipe.unet.dtype is torch.float16
    assert {weight.dtype for weight in pipe.motion_extractor.parameters()} == {torch.float32}


def test_progress_and_disk_count_the_variant(convert, monkeypatch):
    reports = []
    output = convert(variant="bf16", on_progress=lambda *report: reports.append(report))
    written = sum(tensor.nbytes for file in output.glob("*/*.safetensors") for tensor in load_file(file).values())
    assert reports[-1] == ("convert", written, written)
    free = written + 10**6
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))
    shutil.rmtree(output)
    with pytest.raises(UserError, match="but only"):
        convert(variant="bf16")


def test_a_variant_that_is_none_is_refused(convert):
    with pytest.raises(UserError, match="no variant 'fp32'; use fp16 or bf16"):
        convert(variant="fp32")
    for dtype in ("fp16", torch.float16):
        with pytest.raises(UserError, match="The main files are fp16 already"):
            convert(variant="fp16", dtype=dtype)


# -- Whole or not at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_a_conversion_that_was_broken_off(cause, convert, tmp_path):
    def break_off(stage: str, done: int, total: int) -> None:
        if done > total / 2:
            assert list((tmp_path / "out").iterdir())  # it had begun to write
            raise cause

    with pytest.raises(cause):
        convert(on_progress=break_off)
    assert not list((tmp_path / "out").iterdir())


def test_nothing_is_left_where_the_disk_fails(convert, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left"):
        convert()
    assert not list((tmp_path / "out").iterdir())


def test_an_empty_output_is_filled_and_its_parents_are_made(convert, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert (convert(output=empty) / "model_index.json").is_file()
    assert (convert(output=tmp_path / "a" / "b") / "model_index.json").is_file()


def test_a_folder_that_cannot_be_replaced_is_refused_before_anything_is_read(convert, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path / "empty")
    for output in (tmp_path / "link", tmp_path / "dangling", ".", tmp_path / "empty"):
        with pytest.raises(UserError, match="is a link, a mount or the folder worked in"):
            convert(output=output, on_progress=lambda *_: pytest.fail("it was read"))
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "mount")
    (tmp_path / "mount").mkdir()
    with pytest.raises(UserError, match="is a link, a mount or the folder worked in"):
        convert(output=tmp_path / "mount")


def test_an_output_that_holds_something_is_left_alone(convert, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        convert(output=tmp_path)
    with pytest.raises(UserError, match="is a file"):
        convert(output=tmp_path / "notes.txt")
    with pytest.raises(UserError, match="cannot be written"):
        convert(output=tmp_path / "notes.txt" / "model")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_too_little_disk_is_said_before_anything_is_written(convert, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 10**6))
    with pytest.raises(UserError, match=r"will take 0\.2 GB, but only 0\.0 GB are free"):
        convert()
    assert not list((tmp_path / "out").iterdir())


# -- Arguments that are wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "int8", torch.float64, 16])
def test_an_unknown_type_is_named_with_those_there_are(dtype, convert):
    with pytest.raises(UserError, match=f"no type {dtype!r}.*fp16, bf16, fp32"):
        convert(dtype=dtype)


@pytest.mark.parametrize("size", ["", "1GiB", "much", "0GB", "-1GB", 0, -5, 2.5, True, None])
def test_a_size_that_is_none_is_refused(size, convert):
    with pytest.raises(UserError, match=f"cannot be at most {re.escape(repr(size))}; give bytes, or a size"):
        convert(max_shard_size=size)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ([1], "`config` is a list"),
        ({"unett": {}}, "unett; known are dino"),
        ({"dino": {"depht": 4}}, "under 'dino' has depht; known are add_adapter_layer"),
        ({"unet": {"channels": 4}}, "under 'unet' has channels"),
        ({"motion_refiner": 3}, "a int under 'motion_refiner'"),
        ({"dino": {"img_size": 224}}, "img_size 224 .*37×37"),
        ({"image_proj": {"in_features": 260}}, "in_features 260, .* 255 tokens"),
        ({"pose_guider": {"block_out_channels": 5}}, "pose_guider makes no PoseGuider"),
    ],
)
def test_sizes_that_make_no_network_are_refused(config, sentence, tiny_config, convert):
    merged = {**tiny_config, **config} if isinstance(config, dict) else config
    with pytest.raises(UserError, match=sentence):
        convert(config=merged)


def test_missing_files_are_named(tiny_source, convert, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        convert(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has none of unet\.pth.*hyportrait"):
        convert(linked(tmp_path / "out", tmp_path / "nothing"))
    two_less = linked(tiny_source, tmp_path / "two_less", without=("dino.pth", "headpose.pth"))
    with pytest.raises(CheckpointError, match=r"two_less lacks dino\.pth, headpose\.pth"):
        convert(two_less)
    with pytest.raises(
        CheckpointError, match=r"lacks vae/config\.json.*scheduler_config\.json, unet/config\.json"
    ):
        convert(svd=tmp_path)
    with pytest.raises(UserError, match=r"none\.onnx is not an ONNX file, or there is none"):
        convert(arcface=tmp_path / "none.onnx")
