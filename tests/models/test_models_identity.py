"""The ID vector in the appearance: the ID encoder as a component, and the paper's form of the adapters."""

import pytest
import torch
from torch import nn

from diffusers_hunyuan_portrait.models import IDEncoder, IMAdapter


@pytest.fixture
def adapter() -> nn.Module:
    """One adapter in the paper's form, with random weights, statistics of normalisation too."""
    torch.manual_seed(0)
    model = IMAdapter(
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        patch_size=8,
        image_size=32,
        adapter_layers=(0,),
        adapter_dim=32,
        adapter_attention_dim=16,
        adapter_num_heads=4,
        id_dim=10,
        num_image_tokens=4,
        id_as_query=True,
    ).eval()
    adapter = model.adapters["0"]
    for module in adapter.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return adapter


@torch.no_grad()
def test_the_id_asks_the_branches_features_as_equation_5_has_it(adapter):
    tokens, identity = torch.randn(2, 5 + 16, 24), torch.randn(2, 10)
    down = adapter.down_proj(tokens).relu()
    patches = down[:, 5:].transpose(1, 2).reshape(2, 32, 4, 4)
    scales = [branch(patches) for branch in (adapter.branch_1x1, adapter.branch_3x3, adapter.branch_5x5)]
    cross = adapter.cross_attention
    features = cross.image_proj(torch.cat(scales, dim=1).reshape(2, 32, 16).transpose(1, 2))
    attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    parts = [cross.attention.to_q, cross.attention.to_k, cross.attention.to_v]
    attention.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    attention.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    attention.out_proj.load_state_dict(cross.attention.to_out[0].state_dict())
    asked, _ = attention(cross.id_proj(identity)[:, None], features, features)
    expected = adapter.up_proj(torch.cat([2 * down[:, :5], down[:, 5:] + cross.back_proj(asked)], dim=1))
    # The same sums in another order.
    torch.testing.assert_close(adapter(tokens, identity), expected, rtol=1e-5, atol=1e-5)


def test_the_released_form_is_the_default_and_has_the_same_weights():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "adapter_layers": (0,)}
    released, paper = IMAdapter(**sizes), IMAdapter(**sizes, id_as_query=True)
    assert released.config.id_as_query is False
    paper.load_state_dict(released.state_dict())
    tokens, identity = torch.randn(1, 261, 16), torch.randn(1, 512)
    released_adapter, paper_adapter = released.eval().adapters["0"], paper.eval().adapters["0"]
    assert not torch.allclose(released_adapter(tokens, identity), paper_adapter(tokens, identity), atol=1e-4)


def test_every_part_of_the_papers_form_is_trained(adapter):
    adapter(torch.randn(1, 21, 24), torch.randn(1, 10)).square().sum().backward()
    without = [name for name, weight in adapter.named_parameters() if not weight.grad.any()]
    # A shift of all keys alike changes no softmax.
    assert [name for name in without if not name.endswith("to_k.bias")] == []


def test_the_id_encoder_saves_loads_and_gives_a_vector_a_face(tmp_path):
    torch.manual_seed(0)
    encoder = IDEncoder(depths=(1, 1), width=8, groups=4, id_dim=6).eval()
    encoder.save_pretrained(tmp_path)
    faces = torch.rand(3, 3, 112, 112)
    vectors = encoder(faces).embedding
    assert vectors.shape == (3, 6)
    assert not torch.allclose(vectors[0], vectors[1])
    assert torch.equal(IDEncoder.from_pretrained(tmp_path)(faces, return_dict=False)[0], vectors)
