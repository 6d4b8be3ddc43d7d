"""A model's folder is the same to the byte whoever writes it, and carries on what belongs to it."""

import itertools
import json
from pathlib import Path

import pytest

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait import model_folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_converted_is_saved_the_same_again_and_again(tiny_model_dir, tmp_path):
    folders = [tiny_model_dir, tmp_path / "once", tmp_path / "twice"]
    for source, target in itertools.pairwise(folders):
        hp.HunyuanPortraitPipeline.from_pretrained(source).save_pretrained(target)
    converted, once, twice = map(contents, folders)
    assert converted.keys() == once.keys() == twice.keys()
    assert converted == once
    assert once == twice


def test_what_a_model_carries_goes_with_it_and_nothing_else(tiny_pipeline, tiny_model_dir, tmp_path):
    origin = tmp_path / "origin"
    tiny_pipeline.save_pretrained(origin)
    carried = {
        "id_encoder/arcface.onnx": "onnx",
        "LICENSE.txt": "ours",
        "NOTICE": "noted",
        "licences/svd/LICENSE.md": "theirs",
    }
    for name, text in {**carried, "notes.txt": "private", "drafts/LICENSE": "no"}.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    hp.HunyuanPortraitPipeline.from_pretrained(origin).save_pretrained(tmp_path / "saved")
    saved = contents(tmp_path / "saved")
    assert {name: saved[name].decode() for name in carried} == carried
    assert not {"notes.txt", "drafts/LICENSE"} & saved.keys()


def test_a_file_that_is_there_is_not_replaced(tmp_path):
    for folder, text in (("source", "old"), ("target", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "README.md").write_text(text)
    model_folder.copy_carried(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target" / "README.md").read_text() == "new"


@pytest.mark.parametrize("component", ["", "unet"])
def test_no_config_tells_where_a_model_was_loaded_from(component, tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    file = tmp_path / component / ("config.json" if component else "model_index.json")
    assert "_name_or_path" not in json.loads(file.read_text())


def test_an_id_encoder_of_ones_own_is_kept_in_the_index(tiny_pipeline, tiny_model_dir, tmp_path):
    """Any ModelMixin will do; the pose guider stands in for one, as it is small."""
    pipe = hp.HunyuanPortraitPipeline(
        **tiny_pipeline.components | {"id_encoder": hp.PoseGuider.from_pretrained(tiny_model_dir / "pose_guider")}
    )
    pipe.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["id_encoder"] == [
        "diffusers_hunyuan_portrait",
        "PoseGuider",
    ]
    assert isinstance(hp.HunyuanPortraitPipeline.from_pretrained(tmp_path).id_encoder, hp.PoseGuider)


def test_code_files_hold_what_they_promise(tmp_path):
    networks = [hp.HunyuanPortraitUNet, hp.IDEncoder, hp.IMAdapter, hp.MotionExtractor, hp.PoseGuider]
    index = {f"a_{kind.__name__}": ["diffusers_hunyuan_portrait", kind.__name__] for kind in networks}
    others = {"vae": ["diffusers", "AutoencoderKLTemporalDecoder"], "none": [None, None], "resolution": 64}
    for name in [*index, "vae"]:
        (tmp_path / name).mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps(index | others))
    model_folder.write_code(tmp_path)
    namespace: dict = {}
    exec((tmp_path / "pipeline.py").read_text(), namespace)
    assert namespace["HunyuanPortraitPipeline"] is hp.HunyuanPortraitPipeline
    for name in index:
        exec((tmp_path / name / "diffusers_hunyuan_portrait.py").read_text(), namespace)
        assert [namespace[name] for name in namespace["__all__"]] == networks
    assert not list((tmp_path / "vae").iterdir())


# -- What a card says of how to use the model ------------------------------------------------------------------

CALL = 'pipe = HunyuanPortraitPipeline.from_pretrained("lab/first", dtype=dtype{}).to(device)\n'
COMMAND = "hunyuan-portrait animate portrait.png driving.mp4 --model {}\n"
BOTH = (
    '\nMine.\n\nWith `variant="fp16"` the weights are fetched and read in half precision; without, in another.\n'
)


@pytest.mark.parametrize(
    ("weights", "option"),
    [
        ([""], ""),
        (["-00001-of-00002"], ""),
        ([".fp16"], ', variant="fp16"'),
        (["-00001-of-00002.bf16"], ', variant="bf16"'),
        ([".ema"], ', variant="ema"'),
        (["", ".ema"], ""),
        (["", ".fp16-00001-of-00002", ".bf16"], ', variant="fp16"'),
    ],
)
@pytest.mark.parametrize("before", ["", ', variant="fp16"'])
def test_a_card_loads_weights_that_are_there(weights, option, before, tmp_path):
    (tmp_path / "unet").mkdir()
    for kind in weights:
        (tmp_path / "unet" / f"diffusion_pytorch_model{kind}.safetensors").touch()
    (tmp_path / "README.md").write_text(CALL.format(before) + COMMAND.format("lab/first") + BOTH)
    model_folder.update_usage(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith(CALL.format(option) + COMMAND.format("lab/first") + "\nMine.\n")
    assert ("With `variant" in card) is (len(weights) > 1)


def test_a_card_in_another_encoding_keeps_its_bytes_but_for_the_name(tmp_path):
    (tmp_path / "README.md").write_bytes(b"\xe9\r\n" + COMMAND.format("first").encode())
    model_folder.update_usage(tmp_path, "lab/second")
    assert (tmp_path / "README.md").read_bytes() == b"\xe9\r\n" + COMMAND.format("lab/second").encode()


def test_what_was_saved_in_half_precision_is_loaded_so_by_its_card(tiny_pipeline, tmp_path):
    origin, saved = tmp_path / "origin", tmp_path / "saved"
    tiny_pipeline.save_pretrained(origin)
    (origin / "README.md").write_text(CALL.format(""))
    hp.HunyuanPortraitPipeline.from_pretrained(origin).save_pretrained(saved, variant="fp16")
    assert (saved / "README.md").read_text() == CALL.format(', variant="fp16"')


def test_a_model_from_a_relative_folder_carries_all_also_where_the_folder_worked_in_changes(
    tiny_pipeline, tmp_path, monkeypatch
):
    tiny_pipeline.save_pretrained(tmp_path / "origin")
    (tmp_path / "origin" / "id_encoder").mkdir()
    (tmp_path / "origin" / "id_encoder" / "arcface.onnx").write_bytes(b"onnx")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    pipe = hp.HunyuanPortraitPipeline.from_pretrained("origin")
    monkeypatch.chdir("elsewhere")
    for each in (pipe, hp.HunyuanPortraitPipeline.from_pipe(pipe)):
        assert each.id_model_path.read_bytes() == b"onnx"
