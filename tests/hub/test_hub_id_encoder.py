"""An ID encoder of our own class goes wherever a model's other networks go, and so does a UNet in shards."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from hub_server import log_in
from safetensors.torch import load_file, save_file
from synthetic import uniform

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub import publishing
from diffusers_hunyuan_portrait.hub.bundle import write_bundle
from diffusers_hunyuan_portrait.hub.publishing import publish
from diffusers_hunyuan_portrait.tiny import make_tiny

NAME = "tester/drawn"
SHARD_SIZE = "500KB"
CARD = """\
---
license: apache-2.0
---
# Mine

## How to use it

pipe = HunyuanPortraitPipeline.from_pretrained("mine", dtype=dtype).to(device)

## Licence

All of it is ours.
"""


@pytest.fixture(scope="module")
def encoder() -> hp.IDEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return hp.IDEncoder(depths=(1, 1), width=8, groups=4).eval()


@pytest.fixture(scope="module")
def model(encoder, tmp_path_factory) -> Path:
    """A small model with the encoder and a card of its own, in half precision, in shards. Not to be changed."""
    components = make_tiny(torch.float16).components
    half = hp.IDEncoder.from_config(encoder.config).half()
    half.load_state_dict(encoder.state_dict())
    folder = tmp_path_factory.mktemp("models") / "model"
    pipe = hp.HunyuanPortraitPipeline(**components | {"id_encoder": half}, resolution=128)
    pipe.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    (folder / "README.md").write_text(CARD)
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 1
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_the_same(found: torch.nn.Module, encoder: hp.IDEncoder, dtype: torch.dtype) -> bool:
    """Whether `found` is of this type and tells faces apart as `encoder` does, to half precision."""
    faces = uniform("faces", (2, 3, 112, 112))
    with torch.no_grad():
        vectors, expected = found(faces).embedding.float(), encoder(faces).embedding
    # Half precision has three digits; faces differ in the first.
    likeness = torch.nn.functional.cosine_similarity(vectors, expected)
    return found.dtype is dtype and vectors.shape == (2, 512) and bool((likeness > 0.999).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_it_is_loaded_in_the_type_asked_for(dtype, model, encoder):
    pipe = hp.load_pipeline(model, "cpu", dtype)
    assert type(pipe.id_encoder) is hp.IDEncoder
    assert not pipe.id_encoder.training
    assert is_the_same(pipe.id_encoder, encoder, dtype)
    assert torch.equal(pipe.unet.conv_in.weight, whole_unet(model)["conv_in.weight"].to(dtype))


def whole_unet(folder: Path) -> dict[str, torch.Tensor]:
    return {
        key: weight for file in (folder / "unet").glob("*.safetensors") for key, weight in load_file(file).items()
    }


def test_a_model_with_it_is_saved_the_same_again(model, tmp_path):
    hp.load_pipeline(model, "cpu", "fp16").save_pretrained(tmp_path, max_shard_size=SHARD_SIZE)
    assert contents(tmp_path) == contents(model)
    assert (tmp_path / "id_encoder" / "diffusers_hunyuan_portrait.py").is_file()


def test_one_that_lacks_a_weight_is_refused(model, tmp_path):
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    file = folder / "id_encoder" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    del weights["network.head.bias"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"id_encoder lacks 1 weights, network\.head\.bias first"):
        hp.load_pipeline(folder, "cpu", "fp32")


def test_a_converted_models_onnx_file_stays_behind_where_it_takes_its_place(model, encoder, tmp_path):
    origin = Path(shutil.copytree(model, tmp_path / "origin"))
    shutil.rmtree(origin / "id_encoder")
    (origin / "id_encoder").mkdir()
    (origin / "id_encoder" / "arcface.onnx").write_bytes(b"onnx")
    index = json.loads((origin / "model_index.json").read_text())
    del index["id_encoder"]
    (origin / "model_index.json").write_text(json.dumps(index))
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(origin, id_encoder=encoder)
    pipe.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("*.onnx"))
    saved = hp.HunyuanPortraitPipeline.from_pretrained(tmp_path / "saved")
    assert is_the_same(saved.id_encoder, encoder, torch.float32)
    assert (tmp_path / "saved" / "README.md").read_text() == CARD


# -- Bundles -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory) -> Path:
    """Not to be changed."""
    return write_bundle(model, tmp_path_factory.mktemp("bundles") / "bundle", name=NAME)


def test_a_bundle_brings_its_code(bundle, model, encoder):
    pipe = DiffusionPipeline.from_pretrained(bundle, trust_remote_code=True)
    assert type(pipe.id_encoder).__module__.endswith("hunyuan_portrait_id_encoder")
    assert not isinstance(pipe.id_encoder, hp.IDEncoder)
    assert is_the_same(pipe.id_encoder, encoder, torch.float32)
    shards = {name: content for name, content in contents(model).items() if name.startswith("unet/diffusion_")}
    assert contents(bundle).items() > shards.items()


def test_a_bundle_saves_itself_with_it(bundle, tmp_path):
    DiffusionPipeline.from_pretrained(bundle, trust_remote_code=True, dtype=torch.float16).save_pretrained(
        tmp_path, max_shard_size=SHARD_SIZE
    )
    assert contents(tmp_path) == contents(bundle)


def test_the_package_loads_it_from_a_bundle_and_runs_none_of_its_code(bundle, encoder, tmp_path):
    sabotaged = Path(shutil.copytree(bundle, tmp_path / "sabotaged", copy_function=os.symlink))
    for file in sabotaged.rglob("*.py"):
        file.unlink()
        file.write_text("raise RuntimeError('code of the bundle was run')")
    pipe = hp.load_pipeline(sabotaged, "cpu", "fp32")
    assert type(pipe.id_encoder) is hp.IDEncoder
    assert is_the_same(pipe.id_encoder, encoder, torch.float32)


def test_a_bundles_card_says_what_the_models_does_but_for_its_use(bundle, tmp_path):
    card = (bundle / "README.md").read_text()
    before, after = CARD.split("pipe =")[0], "\n\n## Licence\n\nAll of it is ours.\n"
    assert card.startswith(before)
    assert card.endswith(after)
    assert f'DiffusionPipeline.from_pretrained("{NAME}", trust_remote_code=True' in card
    assert "Tencent" not in card
    again = write_bundle(bundle, tmp_path / "again", name=NAME)
    assert contents(again) == contents(bundle)


@pytest.mark.parametrize("class_name", ["PoseGuider", "Unknown"])
def test_another_network_of_ours_in_its_place_has_no_code_in_a_bundle(class_name, model, tmp_path):
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    index = json.loads((folder / "model_index.json").read_text())
    index["id_encoder"][1] = class_name
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"The id_encoder of .* is a {class_name} of diffusers_hunyuan_portrait"):
        write_bundle(folder, tmp_path / "bundle")


# -- The Hub -----------------------------------------------------------------------------------------------------


def test_it_is_fetched_with_the_rest(hub, client, model, encoder):
    hub.add(NAME, model)
    pipe = hp.load_pipeline(NAME, "cpu", "fp32")
    assert type(pipe.id_encoder) is hp.IDEncoder
    assert is_the_same(pipe.id_encoder, encoder, torch.float32)


def test_it_is_published_with_the_rest_under_the_models_own_terms(hub, model, tmp_path, monkeypatch, caplog):
    log_in(hub, monkeypatch, tmp_path)
    monkeypatch.setattr(publishing.logger, "handlers", [caplog.handler])
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    publish(folder, NAME)
    files = hub.files(NAME)
    del files[".gitattributes"]  # the Hub's own
    assert files == contents(folder)
    assert files["README.md"].decode() == CARD.replace('"mine"', f'"{NAME}"')
    assert "Tencent" not in caplog.text
