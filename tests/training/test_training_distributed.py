"""Two processes train as one does: the same gradients under DDP and FSDP, the same run through the whole loop."""

import json
import os
import subprocess
import sys

import pytest
import torch
import two_processes
from safetensors.torch import load_file
from training_parts import make_batch, make_pipeline, short_run, with_run

from diffusers_hunyuan_portrait.training import PortraitTraining
from diffusers_hunyuan_portrait.training.loop import train

LIMIT_S = 240  # for what takes 15 on a core of its own; each job in it has a limit of its own


@pytest.fixture(scope="module")
def results(small_model, shards, tmp_path_factory):
    """The folder that `two_processes.py` has filled. Not to be changed."""
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [sys.executable, two_processes.__file__, folder, small_model, shards],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout
    return folder


@pytest.mark.parametrize("kind", ["DDP", "FSDP"])
def test_two_processes_have_the_gradients_of_one(kind, results):
    stage = PortraitTraining(make_pipeline())
    stage(make_batch(stage.pipe)).backward()
    expected, found = two_processes.gradients_of(stage), load_file(results / kind / "gradients.safetensors")
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        # Sums in another order, in float32: small beside the largest of the same weight.
        assert torch.allclose(found[name], gradient, atol=1e-5 * max(1e-2, gradient.abs().max().item())), name


def test_shared_out_weights_are_gathered_whole_and_copied_back(results):
    weights = load_file(results / "FSDP" / "weights.safetensors")
    assert torch.equal(weights.pop("copied"), torch.ones(32))
    expected = PortraitTraining(make_pipeline()).state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_a_run_in_two_processes_is_the_run_of_one(small_model, shards, results, tmp_path):
    alone = {}
    config = with_run(short_run(small_model, shards, tmp_path), max_steps=2)  # batches of two examples
    train(config, on_step=alone.__setitem__)
    for process in range(two_processes.PROCESSES):
        losses = json.loads((results / "loop" / f"losses-{process}.json").read_text())
        # Sums in another order, in float32.
        assert list(losses.values()) == pytest.approx(list(alone.values()), rel=1e-4)
    assert (results / "loop" / "model" / "model_index.json").is_file()
    states = results / "loop" / "checkpoints" / "step-00000002"
    assert len(list(states.glob("random_states_*"))) == two_processes.PROCESSES
