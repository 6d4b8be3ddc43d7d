"""What a run keeps of a clip: three copies of its latents at most, beside the tokens that it was given."""

import pytest
import torch
from runs import make_conditions, small_run
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.sampling import latents as latents_module

LATENT_BYTES = 4 * 8 * 8 * 4  # a frame's, in float32
SMALL_BYTES = 256  # a frame's part of the windows' indices, and of its slice's scheduler


class LiveBytes(TorchDispatchMode):
    """The most bytes held at a time by tensors that were made, or looked into, under it."""

    def __init__(self):
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                reference = StorageWeakRef(tensor.untyped_storage())
                self.storages[reference.cdata] = (reference, tensor.untyped_storage().nbytes())
        self.storages = {key: held for key, held in self.storages.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.storages.values()))
        return result


@pytest.fixture
def quick_pipeline(tiny_pipeline, monkeypatch):
    """Networks that cost nothing, and a clip that is many slices long."""
    monkeypatch.setattr(tiny_pipeline.unet, "forward", lambda sample, *_, **__: (sample[:, :, :4],))
    monkeypatch.setattr(latents_module, "SCHEDULER_SLICE", 100)
    return tiny_pipeline


@pytest.mark.parametrize("callback", [None, lambda pipe, step, timestep, tensors: tensors])
def test_latents_are_held_three_times_at_most(callback, quick_pipeline):
    def peak(num_frames: int) -> int:
        conditions = make_conditions("memory", num_frames)
        with LiveBytes() as live:
            small_run(
                quick_pipeline,
                conditions=conditions,
                latents=None,
                window_size=25,
                callback_on_step_end=callback,
            )
        return live.peak

    growth = (peak(1000) - peak(600)) / 400
    assert 2 * LATENT_BYTES <= growth <= 3 * LATENT_BYTES + SMALL_BYTES


def test_decoding_holds_a_chunk(quick_pipeline, monkeypatch):
    class Decoded:
        def __init__(self, latents):
            self.sample = latents.new_zeros(len(latents), 3, 64, 64)

    monkeypatch.setattr(quick_pipeline.vae, "decode", lambda latents, num_frames: Decoded(latents))

    def peak(num_frames: int) -> int:
        latents = torch.zeros(1, num_frames, 4, 8, 8)
        with LiveBytes() as live:
            assert (
                sum(len(chunk) for chunk in quick_pipeline.decode_frames(latents, pad_frames=2)) == num_frames - 4
            )
        return live.peak

    assert peak(400) - peak(40) == 360 * LATENT_BYTES  # the latents that it was given


class Copies(TorchDispatchMode):
    """Between which devices tensors of how many numbers were copied under it."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[str, str, int]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            source = args[1] if func.overloadpacket is torch.ops.aten.copy_ else args[0]
            if source.device != result.device:
                self.seen.append((source.device.type, result.device.type, source.numel()))
        return result


def test_a_step_brings_its_windows_tokens_to_the_device_and_reads_nothing_there(tiny_model_dir, monkeypatch):
    """On a device whose numbers cannot be read; a blocking read, or another copy, would have the host wait."""
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir).to("meta")
    set_timesteps = pipe.scheduler.set_timesteps

    def set_on_host(steps, device):
        """Once a run, and with values that the scheduler itself reads."""
        set_timesteps(steps)
        pipe.scheduler.timesteps = pipe.scheduler.timesteps.to(device)

    monkeypatch.setattr(pipe.scheduler, "set_timesteps", set_on_host)
    copies, ends = Copies(), []
    with copies:
        small_run(
            pipe,
            num_frames=10,
            num_inference_steps=3,
            callback_on_step_end=lambda *_: ends.append(len(copies.seen)) or {},
        )
    tokens_of_a_window = 4 * 16 * 64
    # 2 steps after the first, of 4 windows each
    assert copies.seen[ends[0] : ends[-1]] == [("cpu", "meta", tokens_of_a_window)] * 8
