"""Every weight of the published files goes somewhere, and nowhere twice."""

from collections import Counter

import pytest
import torch
from synthetic import published_manifests

from diffusers_hunyuan_portrait import HunyuanPortraitUNet, IMAdapter, MotionExtractor, PoseGuider
from diffusers_hunyuan_portrait.convert.layout import PUBLISHED_FILES, Source, find_source

NETWORKS = {
    "unet": HunyuanPortraitUNet,
    "im_adapter": IMAdapter,
    "motion_extractor": MotionExtractor,
    "pose_guider": PoseGuider,
}
POSITIONS = ("dino.pth", "pos_embed")  # interpolated, so that their number changes


@pytest.fixture(scope="module")
def origins() -> list[tuple[Source, torch.Tensor]]:
    """Where each weight of the full-size networks comes from, beside the weight on the meta device."""
    with torch.device("meta"):
        networks = {name: network() for name, network in NETWORKS.items()}
    return [
        (find_source(name, key), weight)
        for name, network in networks.items()
        for key, weight in network.state_dict().items()
    ]


def test_all_published_keys_are_read_and_no_others(origins):
    manifests = published_manifests()
    assert set(PUBLISHED_FILES) == set(manifests)
    published = {(file, key) for file, keys in manifests.items() for key in keys}
    assert {(origin.file, origin.key) for origin, _ in origins} == published


def test_each_published_number_is_read_once(origins):
    read = Counter()
    for origin, weight in origins:
        read[origin.file, origin.key] += weight.numel()
    published = {
        (file, key): torch.Size(shape).numel()
        for file, keys in published_manifests().items()
        for key, (shape, _) in keys.items()
    }
    del read[POSITIONS], published[POSITIONS]
    assert dict(read) == published


def test_thirds_of_stacked_projections_are_three_different_ones(origins):
    shapes = {}
    for origin, weight in origins:
        stacked = torch.arange(3.0 * weight.shape[0]) if origin.key.endswith("in_proj_bias") else None
        if stacked is not None:
            start = int(origin.reader.read(stacked, tuple(weight.shape))[0])
            shapes.setdefault((origin.file, origin.key), []).append(start / weight.shape[0])
    assert shapes
    assert all(sorted(starts) == [0, 1, 2] for starts in shapes.values())


def test_published_shapes_are_foretold_from_ours(origins):
    manifests = published_manifests()
    for origin, weight in origins:
        foretold = origin.reader.published_shape(tuple(weight.shape))
        assert foretold == tuple(manifests[origin.file][origin.key][0]), origin


def test_a_weight_that_no_rule_is_for_is_not_passed_over():
    with pytest.raises(KeyError, match=r"motion_extractor\.new_part\.weight"):
        find_source("motion_extractor", "new_part.weight")
