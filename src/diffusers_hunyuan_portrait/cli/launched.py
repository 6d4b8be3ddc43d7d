"""Processes that `torchrun` started, each for a GPU of its own."""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from .display import console

# How long one may work while the others wait: the first finds the faces of the whole clip. Where one dies,
# torchrun ends the others.
PATIENCE = datetime.timedelta(hours=12)


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[torch.device, bool]]:
    """Joins the other processes, where there are some; gives this one's device, and whether there are.

    All but the first show nothing on the terminal but errors.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device, False
        return
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    console.quiet = dist.get_rank() > 0
    try:
        yield device, True
    except BaseException:
        console.quiet = False
        raise  # the group is left as it is: taking it down would wait for processes that may be gone
    dist.destroy_process_group()
