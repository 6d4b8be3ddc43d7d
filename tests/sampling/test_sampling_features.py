"""Features are found again by frame, wherever the windows have moved, and only where they are there."""

import pytest
import torch
from runs import Calls, distance, small_run

from diffusers_hunyuan_portrait.sampling import DeepFeatures, Window

CPU = torch.device("cpu")


def features_of(window: Window, plus: float = 0.0) -> torch.Tensor:
    """Each frame's are its number."""
    return (window.on("cpu") + plus).view(1, -1, 1, 1, 1).expand(-1, -1, 2, 1, 1).float()


def test_they_follow_a_window_that_moves():
    kept = DeepFeatures(CPU, CPU)
    for start in (0, 4, 8):
        window = Window(start, 6, 10)
        kept.write("full", window, 0, features_of(window))
    moved = Window(7, 6, 10)
    assert torch.equal(kept.read("full", moved, since=0), features_of(moved))


def test_a_window_with_a_frame_that_has_none_has_none():
    kept = DeepFeatures(CPU, CPU)
    window = Window(0, 6, 10)
    assert kept.read("full", window, since=0) is None
    kept.write("full", window, 0, features_of(window))
    assert kept.read("full", Window(1, 6, 10), since=0) is None
    assert kept.read("appearance", window, since=0) is None
    assert kept.read("full", window, since=1) is None


def test_the_last_turn_of_a_short_clip_is_kept():
    kept, window = DeepFeatures(CPU, CPU), Window(2, 7, 3)
    values = torch.arange(7.0).view(1, -1, 1, 1, 1)  # frames 2 0 1 2 0 1 2
    kept.write("full", window, 0, values)
    assert kept.read("full", Window(0, 3, 3), since=0).flatten().tolist() == [4, 5, 6]


@pytest.mark.parametrize("interval", [2, 3])
def test_a_run_calls_inner_blocks_every_few_steps(interval, tiny_pipeline, monkeypatch):
    whole = small_run(tiny_pipeline, 10, num_inference_steps=6)
    inner = Calls(monkeypatch, tiny_pipeline.unet.mid_block, "forward")
    outer = Calls(monkeypatch, tiny_pipeline.unet, "forward")
    kept = small_run(tiny_pipeline, 10, num_inference_steps=6, cache_interval=interval)
    windows, branches = 4, 2
    assert outer.count == 6 * windows * branches
    assert inner.count == 6 // interval * windows * branches
    assert distance(kept, whole) > 0.001  # an approximation


def test_kept_features_of_the_same_call_give_its_result(tiny_pipeline):
    """So what is left out is exactly what gave them."""
    unet = tiny_pipeline.unet
    given = torch.randn(2, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor(0.5)
    others = {"encoder_hidden_states": None, "added_time_ids": torch.zeros(2, 3), "return_dict": False}
    with torch.no_grad():
        whole, deep = unet(*given, **others, return_deep_features=True)
        assert torch.equal(unet(*given, **others, deep_features=deep)[0], whole)
        assert torch.equal(unet(*given, **others)[0], whole)
