"""Each network comes back from its folder as it went in, whole, in pieces, in half precision, under a variant."""

import hashlib
from pathlib import Path

import pytest
import torch

import diffusers_hunyuan_portrait as hp

NETWORKS = ["unet", "im_adapter", "pose_guider", "motion_extractor"]


@pytest.fixture(params=NETWORKS)
def network(request, tiny_pipeline):
    return getattr(tiny_pipeline, request.param)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def assert_same_weights(network, expected) -> None:
    weights, expected_weights = network.state_dict(), expected.state_dict()
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[key], expected_weights[key]) for key in weights)


def test_round_trip_is_byte_identical(network, tmp_path):
    network.save_pretrained(tmp_path / "first")
    loaded = type(network).from_pretrained(tmp_path / "first")
    assert_same_weights(loaded, network)
    assert {k: v for k, v in loaded.config.items() if k[0] != "_"} == {
        k: v for k, v in network.config.items() if k[0] != "_"
    }
    assert not loaded.training
    loaded.save_pretrained(tmp_path / "second")
    first, second = digests(tmp_path / "first"), digests(tmp_path / "second")
    weights = "diffusion_pytorch_model.safetensors"
    assert first.keys() == second.keys() == {"config.json", weights}
    assert first[weights] == second[weights]


def test_variant_and_pieces(network, tmp_path):
    network.save_pretrained(tmp_path, variant="piece", max_shard_size="500KB")
    pieces = list(tmp_path.glob("*.piece-0*.safetensors")) + list(tmp_path.glob("*.piece.safetensors"))
    assert pieces
    assert len(pieces) > 1 or network.num_parameters() * 4 < 500_000
    assert_same_weights(type(network).from_pretrained(tmp_path, variant="piece"), network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_loading_in_half_precision(tiny_model_dir, dtype):
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=dtype)
    for name in NETWORKS:
        expected = torch.float32 if name == "motion_extractor" else dtype
        parameters = getattr(pipe, name).parameters()
        assert {parameter.dtype for parameter in parameters} == {expected}, name
