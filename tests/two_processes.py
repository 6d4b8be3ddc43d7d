"""Trains in two processes that know nothing of the tests' own: `python two_processes.py FOLDER MODEL SHARDS`.

What they find lies in FOLDER afterwards. They are forked, which saves importing everything in each, but by a
process that has done nothing else: threads and locks of whatever ran before could leave them waiting for ever.
"""

import datetime
import faulthandler
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from training_parts import make_batch, make_pipeline, short_run, with_run

from diffusers_hunyuan_portrait.training import PortraitTraining
from diffusers_hunyuan_portrait.training.checkpoints import copy_whole, whole
from diffusers_hunyuan_portrait.training.loop import train

PROCESSES = 2
LIMIT_S = 60  # for one job, which takes 3; then each process says where it stands, and ends


def gradients_of(stage):
    return {name: whole(weight.grad) for name, weight in stage.named_parameters() if weight.requires_grad}


def shard(stage):
    """As accelerate does with FSDP: the UNet's blocks each, then what is left."""
    for module in stage.unet.modules():
        if type(module).__name__ in stage.unet._repeated_blocks:
            fully_shard(module)
    return fully_shard(stage)


def train_half(process, folder, wrap):
    """Gradients of one half of the batch, averaged over the processes; the first of them writes what it has."""
    stage = PortraitTraining(make_pipeline())
    module = wrap(stage)
    weights = {name: whole(value) for name, value in stage.state_dict().items()}
    batch = make_batch(stage.pipe)
    loss = module({name: value[process : process + 1] for name, value in batch.items()})
    loss.backward()
    gradients = gradients_of(stage)
    if wrap is shard:
        with torch.no_grad():
            copy_whole(torch.ones(32), stage.unet.conv_in.bias)
        weights["copied"] = whole(stage.unet.conv_in.bias)
    if process == 0:
        save_file(gradients, folder / "gradients.safetensors")
        save_file(weights, folder / "weights.safetensors")


def run_loop(process, folder, model, shards):
    """A whole run, and its losses as each process is told them."""
    losses = {}
    train(with_run(short_run(model, shards, folder), max_steps=2, batch_size=1), on_step=losses.__setitem__)
    (folder / f"losses-{process}.json").write_text(json.dumps(losses))


def begin(process, job, folder, arguments):
    """Joins the two processes for one job."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    torch.set_num_threads(1)
    # The loop wants to know these; it takes the group as it finds it, so that no port is needed.
    os.environ |= {"RANK": str(process), "LOCAL_RANK": str(process), "WORLD_SIZE": str(PROCESSES)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=process,
        world_size=PROCESSES,
        timeout=datetime.timedelta(seconds=LIMIT_S),
    )
    job(process, folder, *arguments)
    if dist.is_initialized():  # the loop leaves the group by itself
        dist.destroy_process_group()


if __name__ == "__main__":
    results, small_model, clips = map(Path, sys.argv[1:])
    jobs = {
        "DDP": (train_half, DistributedDataParallel),
        "FSDP": (train_half, shard),
        "loop": (run_loop, small_model, clips),
    }
    for name, (function, *others) in jobs.items():
        (results / name).mkdir()
        given = function, results / name, others
        torch.multiprocessing.start_processes(begin, given, nprocs=PROCESSES, start_method="fork")
