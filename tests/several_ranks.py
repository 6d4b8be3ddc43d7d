"""One small run shared by several processes: `python several_ranks.py MODEL FOLDER COUNT [RANK THAT DIES]`.

Each leaves its latents and frames in FOLDER, or the error that it ended with. They are forked by a process that
has done nothing else, as threads and locks of whatever ran before could leave them waiting for ever.
"""

import datetime
import faulthandler
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from runs import make_conditions, small_run
from safetensors.torch import save_file

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError

LIMIT_S = 120  # for a run that takes 5; then each process says where it stands, and ends
# 10 frames in windows of 4 that share one are 4 windows; decoded in chunks of 3, one of which is padding alone.
SETTINGS = {"latents": None, "decode_chunk_size": 3}
CASES = {
    "equal-scales": {},
    "three-branches": {"motion_guidance_scale": 3.0},
    "one-window": {"window_size": 16},
    "noised-portrait": {"noise_aug_strength": 0.1},
}


def run_case(pipe: hp.HunyuanPortraitPipeline, name: str, seed: int | None = 0) -> dict[str, torch.Tensor]:
    """Latents and decoded frames."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    conditions = make_conditions("ranks", 10, pad_frames=3)
    latents = small_run(pipe, conditions=conditions, generator=generator, **{**SETTINGS, **CASES[name]})
    frames = torch.cat(list(pipe.decode_frames(latents, SETTINGS["decode_chunk_size"], conditions.pad_frames)))
    return {"latents": latents, "frames": frames}


def run_all(pipe: hp.HunyuanPortraitPipeline) -> dict[str, torch.Tensor]:
    found = {f"{name}.{key}": value for name in CASES for key, value in run_case(pipe, name).items()}
    return found | {"unseeded": run_case(pipe, "equal-scales", seed=None)["latents"]}


def begin(rank: int, model: Path, folder: Path, count: int, dying: int | None) -> None:
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=count,
        timeout=datetime.timedelta(seconds=LIMIT_S / 2),
    )
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(model)
    pipe.share_work()
    if dying is not None:
        settings = {"callback_on_step_end": lambda *_: os._exit(9) if rank == dying else {}}
        try:
            small_run(pipe, **settings)
        except UserError as error:
            (folder / f"error-{rank}.txt").write_text(str(error))
        os._exit(0)  # the group is broken: nothing is left to be taken down
    save_file({key: value.contiguous() for key, value in run_all(pipe).items()}, folder / f"{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    given = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None
    torch.multiprocessing.start_processes(
        begin, given, nprocs=given[2], start_method="fork", join=given[3] is None
    )
