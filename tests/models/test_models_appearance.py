"""The adapters' short computation equals the published one, and the motion tokens hold what they are to hold."""

import pytest
import torch
from runs import distance
from synthetic import normal, unit
from torch import nn

import diffusers_hunyuan_portrait as hp

pytestmark = pytest.mark.usefixtures("no_grad")


def full_adapter(adapter, hidden_states: torch.Tensor, id_embedding: torch.Tensor) -> torch.Tensor:
    """The adapter as published: branches over the patch map, whose tokens are the query to the one ID token."""
    down = adapter.down_proj(hidden_states).relu()
    prefix, patches = down[:, : adapter.num_prefix], down[:, adapter.num_prefix :]
    side = round(patches.shape[1] ** 0.5)
    patch_map = patches.transpose(1, 2).unflatten(2, (side, side))  # (batch, channels, rows, columns)
    scales = [branch(patch_map) for branch in (adapter.branch_1x1, adapter.branch_3x3, adapter.branch_5x5)]
    ours = adapter.cross_attention
    theirs = nn.MultiheadAttention(ours.attention.to_q.in_features, ours.attention.heads, batch_first=True)
    projections = ours.attention.to_q, ours.attention.to_k, ours.attention.to_v
    theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
    theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
    theirs.out_proj.load_state_dict(ours.attention.to_out[0].state_dict())
    query = ours.image_proj(torch.cat(scales, dim=1).flatten(2).transpose(1, 2))
    identity = ours.id_proj(id_embedding)[:, None]
    attended = ours.back_proj(theirs(query, identity, identity)[0])
    return adapter.up_proj(down + torch.cat([prefix, attended], dim=1))


def test_branches_and_query_change_nothing(tiny_pipeline):
    adapter = tiny_pipeline.im_adapter.adapters["1"]
    hidden, identity = normal("hidden", (2, 1 + 4 + 256, 64)), unit("id", (2, 512))
    expected = full_adapter(adapter, hidden, identity)
    assert distance(adapter(hidden, identity), expected) < 1e-5  # sums in another order


def test_the_identity_counts(tiny_pipeline):
    image = normal("image", (1, 3, 224, 224))
    one = tiny_pipeline.im_adapter(image, unit("one", (1, 512))).image_tokens
    other = tiny_pipeline.im_adapter(image, torch.zeros(1, 512)).image_tokens
    assert distance(one, other) > 1e-3


def test_frames_may_have_their_own_levels(tiny_pipeline):
    expression = normal("expression", (2, 512))
    refiner = tiny_pipeline.motion_extractor.refiner
    together = refiner(expression, torch.tensor([3, 100]), torch.tensor([7, 0]))
    assert distance(refiner(expression[1:], torch.tensor(100), torch.tensor(0)), together[1:]) < 1e-5


def test_motion_tokens_end_in_the_rotation_and_three_zeros(tiny_pipeline):
    crops = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    output = tiny_pipeline.motion_extractor(crops, crops.flip(0), 3, 4)
    tokens = output.motion_tokens
    assert tokens.shape == (2, 16, 64)
    assert torch.equal(tokens[..., -6:-3], output.rotation[:, None].expand(-1, 16, -1))
    assert not tokens[..., -3:].any()
    assert output.rotation.abs().max() <= 180
    assert output.translation.abs().max() <= 2


def test_a_new_backbone_begins_as_transformers_would_have_it():
    """Untrained, as the tiny model is, its attention would drown all else with the weights that PyTorch gives."""
    backbone = hp.IMAdapter(hidden_size=64, num_hidden_layers=1, num_attention_heads=2, adapter_layers=()).backbone
    layer = backbone.encoder.layer[0]
    for linear in (layer.attention.q_proj, layer.attention.o_proj, layer.mlp.fc1):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not linear.bias.any()


def test_the_backbone_has_the_same_keys_with_any_transformers(tiny_pipeline):
    layer = tiny_pipeline.im_adapter.backbone.encoder.layer[0]
    assert {key for key in layer.state_dict() if "attention" in key} == {
        f"attention.{projection}_proj.{part}" for projection in "qkvo" for part in ("weight", "bias")
    }
