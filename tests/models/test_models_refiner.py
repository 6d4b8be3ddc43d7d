"""Memories and intensity each change the motion tokens, and can each be left out."""

import pytest
import torch

from diffusers_hunyuan_portrait.models.motion_extractor import IntensityAwareRefiner

EXPRESSION = torch.linspace(-1, 1, 16).reshape(2, 8)  # of two frames


def refine(level: int, use_memory_bank: bool = True, use_intensity: bool = True) -> torch.Tensor:
    """(2, 4, 6) motion tokens by new weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        refiner = IntensityAwareRefiner(8, 6, 4, 16, 16, 2, 2, use_memory_bank, use_intensity)
    return refiner(EXPRESSION, torch.tensor(level), torch.tensor(level)).detach()


@pytest.mark.parametrize("use_memory_bank", [True, False])
def test_levels_count_only_where_intensity_is_used(use_memory_bank):
    assert not torch.equal(refine(0, use_memory_bank), refine(90, use_memory_bank))
    still = refine(90, use_memory_bank, use_intensity=False)
    assert torch.equal(still, refine(0, use_memory_bank, use_intensity=False))


def test_without_memories_nothing_tells_the_tokens_apart():
    with_memories, without = refine(5), refine(5, use_memory_bank=False)
    assert with_memories.shape == without.shape == (2, 4, 6)
    assert with_memories.std(dim=1).min() > 1e-3
    # The same sums, which a batched product may round otherwise for another row.
    torch.testing.assert_close(without, without[:, :1].expand_as(without), atol=1e-6, rtol=0)
    assert not torch.allclose(without[0], without[1], atol=1e-3)


def test_new_weights_tell_tokens_and_expressions_apart():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        refiner = IntensityAwareRefiner(32, 64, 4, 64, 128, 3, 4, True, True)
        expressions = torch.randn(100, 32)
    tokens = refiner(expressions, torch.tensor(20), torch.tensor(20)).detach()  # (100, 4, 64), each of variance 1
    # With levels as torch draws embeddings it was 3 % each: next to nothing to learn from.
    assert tokens.mean(dim=0).var(dim=0).mean() > 0.06
    assert tokens.var(dim=0).mean() > 0.06
