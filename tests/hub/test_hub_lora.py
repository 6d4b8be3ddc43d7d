"""LoRA weights from a Hub repository, by the client that the pipeline uses."""

import copy

import huggingface_hub
import pytest
from lora_files import FILE, write_lora
from networks import run
from runs import distance

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError

REPO = "someone/portrait-style"


@pytest.fixture
def pipe(tiny_pipeline):
    """With a UNet that a test may change."""
    return hp.HunyuanPortraitPipeline(**{**tiny_pipeline.components, "unet": copy.deepcopy(tiny_pipeline.unet)})


@pytest.fixture
def served(hub, client, pipe, tmp_path, monkeypatch):
    """A Hub with a repository of one LoRA; gives what the network does with it."""
    folder = write_lora(tmp_path / "lora", pipe.unet)
    hub.add(REPO, folder)
    # Made when the client was imported, with the endpoint of then.
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
    pipe.load_lora_weights(folder, adapter_name="here")
    expected = run(pipe.unet, "unet")
    pipe.unload_lora_weights()
    return expected


@pytest.mark.parametrize("options", [{}, {"weight_name": FILE}, {"weight_name": FILE, "revision": "main"}])
def test_a_repository(options, served, hub, pipe, client):
    pipe.load_lora_weights(REPO, **options)
    assert distance(run(pipe.unet, "unet"), served) < 1e-5
    fetched = hub.file_bytes()
    assert fetched > 0
    pipe.unload_lora_weights()
    client(offline=True)
    pipe.load_lora_weights(REPO, weight_name=FILE)
    assert distance(run(pipe.unet, "unet"), served) < 1e-5
    assert hub.file_bytes() == fetched


@pytest.mark.parametrize(
    ("repository", "options"),
    [("someone/nothing", {}), (REPO, {"weight_name": "other.safetensors"}), (REPO, {"revision": "no-such-one"})],
)
def test_what_is_not_there(repository, options, served, pipe):
    with pytest.raises(UserError, match=f"No LoRA could be read from '{repository}'"):
        pipe.load_lora_weights(repository, **options)
    assert pipe.get_list_adapters() == {}


def test_a_private_repository(served, hub, pipe):
    hub.add("someone/private", {FILE: hub.files(REPO)[FILE]}, private=True)
    hub.token = "hf_good"
    with pytest.raises(UserError, match="No LoRA could be read from 'someone/private'"):
        pipe.load_lora_weights("someone/private", weight_name=FILE, token=False)
    pipe.load_lora_weights("someone/private", weight_name=FILE, token="hf_good")
    assert distance(run(pipe.unet, "unet"), served) < 1e-5
