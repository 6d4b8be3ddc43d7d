"""Each exact saving, on and off, gives the same latents and frames, and does spare the work that it names."""

import pytest
import torch
from runs import Calls, distance, make_conditions, small_run
from torch.utils.flop_counter import FlopCounterMode

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.benchmarking.plain import SAVINGS, make_plain
from diffusers_hunyuan_portrait.errors import UserError

# float32 sums in another order, over two steps: seen up to 1.4e-4
ROUNDING = 5e-4


@pytest.fixture(scope="module")
def pipe(tiny_model_dir):
    return hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir)


@pytest.fixture(scope="module")
def expected(pipe) -> torch.Tensor:
    return small_run(pipe)


@pytest.fixture(autouse=True)
def default_attention(pipe):
    yield
    pipe.unet.set_default_attn_processor()


def operations(pipe, **changes) -> int:
    with FlopCounterMode(display=False) as counter:
        small_run(pipe, **changes)
    return counter.get_total_flops()


@pytest.mark.parametrize("saving", SAVINGS)
def test_without_a_saving_the_latents_are_the_same(saving, pipe, expected):
    plain = make_plain(pipe, SAVINGS.keys() - {saving})
    assert distance(small_run(plain), expected) < ROUNDING


def test_without_any_the_latents_are_the_same(pipe, expected):
    assert distance(small_run(make_plain(pipe)), expected) < ROUNDING


@pytest.mark.parametrize("saving", [name for name in SAVINGS if name != "padding"])
def test_a_saving_spares_work(saving, pipe):
    spared = operations(pipe)
    assert operations(make_plain(pipe, SAVINGS.keys() - {saving})) > spared


def test_padding_decoded_and_dropped_gives_the_same_frames(pipe, monkeypatch):
    """Of 4 + 2 · 9 frames in chunks of 8, the first chunk and the last frames are padding alone."""
    settings = {"conditions": make_conditions("padded", 22, pad_frames=9), "latents": None, "output_type": "pt"}
    settings |= {"num_inference_steps": 1, "decode_chunk_size": 8}
    frames = small_run(pipe, generator=torch.Generator().manual_seed(0), **settings)
    plain = make_plain(pipe, SAVINGS.keys() - {"padding"})
    calls = Calls(monkeypatch, pipe.vae, "decode")
    assert torch.equal(small_run(plain, generator=torch.Generator().manual_seed(0), **settings), frames)
    assert calls.count == 3
    calls.count = 0
    small_run(pipe, **settings)
    assert calls.count == 1


def test_an_unknown_saving_is_named(pipe):
    with pytest.raises(UserError, match="no saving speed; there is branches, zero tokens"):
        make_plain(pipe, ["speed"])
