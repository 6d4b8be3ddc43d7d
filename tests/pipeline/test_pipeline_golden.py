"""The tiny pipeline gives the golden latents and frames after all steps."""

import pytest
import torch
from runs import GOLDEN_RUNS, RUN_BAR, distance, golden, golden_run


@pytest.mark.parametrize("name", list(GOLDEN_RUNS))
def test_golden_run(name, tiny_pipeline):
    tiny_pipeline.set_progress_bar_config(disable=True)
    expected = golden("pipeline_" + name)
    latents = []

    def keep(pipe, step, timestep, tensors):
        latents.append(tensors["latents"])
        return tensors

    settings = golden_run(name)
    frames = tiny_pipeline(**settings, output_type="pt", callback_on_step_end=keep).frames
    assert distance(latents[-1], expected["latents"]) < RUN_BAR
    pictures = expected["frames"].transpose(1, 2)  # (1, frames, 3, H, W) in [-1, 1], and beyond
    assert distance(frames, (pictures / 2 + 0.5).clamp(0, 1)) < RUN_BAR


@pytest.mark.parametrize("name", ["schedule", "short_clip"])
@torch.no_grad()
def test_golden_latents_decode_to_golden_frames(name, tiny_pipeline, monkeypatch):
    """Before they are cut to what a picture can show, of which the golden frames exceed a part."""
    expected = golden("pipeline_" + name)
    pictures = expected["frames"].transpose(1, 2)
    assert pictures.abs().max() > 1
    whole = []
    decode = tiny_pipeline.vae.decode
    monkeypatch.setattr(
        tiny_pipeline.vae, "decode", lambda *args, **kwargs: whole.append(decode(*args, **kwargs)) or whole[-1]
    )
    list(tiny_pipeline.decode_frames(expected["latents"], golden_run(name)["decode_chunk_size"]))
    assert distance(torch.cat([chunk.sample for chunk in whole])[None], pictures) < RUN_BAR
