"""The UNet compiles whole, and one graph for each branch of guidance serves all steps and windows."""

import pytest
import torch
from runs import distance, small_run
from torch._dynamo.testing import CompileCounter

import diffusers_hunyuan_portrait as hp

# float32 sums in another order, where memory lies otherwise: seen up to 1.4e-4
ROUNDING = 5e-4


@pytest.fixture
def pipe(tiny_model_dir):
    torch._dynamo.reset()
    yield hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir)
    torch._dynamo.reset()


@pytest.mark.parametrize(("motion_guidance_scale", "branches"), [(2.0, 2), (3.0, 3)])
def test_a_graph_for_each_branch_serves_all_steps_and_windows(
    motion_guidance_scale, branches, pipe, tiny_pipeline
):
    counter = CompileCounter()
    pipe.unet.compile(fullgraph=True, backend=counter)
    settings = {"num_frames": 10, "num_inference_steps": 3, "motion_guidance_scale": motion_guidance_scale}
    latents = small_run(pipe, **settings)
    assert counter.frame_count == branches
    assert distance(latents, small_run(tiny_pipeline, **settings)) < ROUNDING
    small_run(pipe, **settings | {"num_frames": 7})  # windows that go around a shorter clip
    assert counter.frame_count == branches


def test_channels_last_gives_the_same(pipe, tiny_pipeline):
    for network in (pipe.unet, pipe.vae):
        for module in network.modules():
            # Weights over time have five axes, and no such format.
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)
    assert distance(small_run(pipe), small_run(tiny_pipeline)) < ROUNDING
