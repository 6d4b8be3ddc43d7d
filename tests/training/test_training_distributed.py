"""Two processes train as one does: the same gradients under DDP and FSDP, the same run through the whole loop."""

import dataclasses
import json
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from training_parts import make_batch, make_pipeline, short_run, with_run

from diffusers_hunyuan_portrait.training import PortraitTraining
from diffusers_hunyuan_portrait.training.checkpoints import copy_whole, whole
from diffusers_hunyuan_portrait.training.loop import train

PROCESSES = 2


def in_two_processes(function, *arguments):
    """Calls `function(process, *arguments)` in two processes at once, forked so that nothing is imported anew."""
    torch.multiprocessing.start_processes(function, arguments, nprocs=PROCESSES, start_method="fork")


def gradients_of(stage):
    return {name: whole(weight.grad) for name, weight in stage.named_parameters() if weight.requires_grad}


def shard(stage):
    """As accelerate does with FSDP: the UNet's blocks each, then what is left."""
    for module in stage.unet.modules():
        if type(module).__name__ in stage.unet._repeated_blocks:
            fully_shard(module)
    return fully_shard(stage)


def train_half(process, kind, folder):
    """Gradients of one half of the batch, averaged by `kind`; the first process writes them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=process, world_size=PROCESSES)
    stage = PortraitTraining(make_pipeline())
    module = DistributedDataParallel(stage) if kind == "DDP" else shard(stage)
    weights = {name: whole(value) for name, value in stage.state_dict().items()}
    batch = make_batch(stage.pipe)
    loss = module({name: value[process : process + 1] for name, value in batch.items()})
    loss.backward()
    gradients = gradients_of(stage)
    if kind == "FSDP":
        with torch.no_grad():
            copy_whole(torch.ones(32), stage.unet.conv_in.bias)
        weights["copied"] = whole(stage.unet.conv_in.bias)
    if process == 0:
        save_file(gradients, folder / "gradients.safetensors")
        save_file(weights, folder / "weights.safetensors")
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["DDP", "FSDP"])
def test_two_processes_have_the_gradients_of_one(kind, tmp_path):
    in_two_processes(train_half, kind, tmp_path)
    stage = PortraitTraining(make_pipeline())
    stage(make_batch(stage.pipe)).backward()
    expected, found = gradients_of(stage), load_file(tmp_path / "gradients.safetensors")
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        # Sums in another order, in float32: small beside the largest of the same weight.
        assert torch.allclose(found[name], gradient, atol=1e-5 * max(1e-2, gradient.abs().max().item())), name


def test_shared_out_weights_are_gathered_whole_and_copied_back(tmp_path):
    in_two_processes(train_half, "FSDP", tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    assert torch.equal(weights.pop("copied"), torch.ones(32))
    expected = PortraitTraining(make_pipeline()).state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def train_in_process(process, config, port):
    torch.set_num_threads(1)
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    os.environ |= {
        "RANK": str(process),
        "LOCAL_RANK": str(process),
        "WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
    }
    losses = {}
    train(config, on_step=losses.__setitem__)
    Path(config.output, f"losses-{process}").write_text(json.dumps(losses))


def test_a_run_in_two_processes_is_the_run_of_one(small_model, shards, tmp_path):
    config = with_run(short_run(small_model, shards, tmp_path / "one"), max_steps=2)
    alone = {}
    train(config, on_step=alone.__setitem__)
    shared = dataclasses.replace(with_run(config, batch_size=1), output=str(tmp_path / "two"))
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    in_two_processes(train_in_process, shared, port)
    for process in range(PROCESSES):
        losses = json.loads((tmp_path / "two" / f"losses-{process}").read_text())
        # Sums in another order, in float32.
        assert list(losses.values()) == pytest.approx(list(alone.values()), rel=1e-4)
    assert (tmp_path / "two" / "model" / "model_index.json").is_file()
    assert len(list((tmp_path / "two" / "checkpoints" / "step-00000002").glob("random_states_*"))) == PROCESSES
