"""Trains the model from its frozen parts on, by the stage *portrait*."""

from pathlib import Path
from typing import Any

from stretches import Work
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffusers_hunyuan_portrait.cli.display import StageProgress
from diffusers_hunyuan_portrait.training import make_config, train

CLIPS, HELD_OUT = "stored", "stored_held_out"  # folders of clips with what the frozen networks see in them


def train_portrait(
    work: Work, name: str, start: Path, steps: int, long_steps: int, steps_again: int = 0, seed: int = 0
) -> bool:
    """Short runs of frames, many at a time, then runs as long as inference has them; gives whether it is done.

    Args:
        name: of the run; `name/long/model` in the work's folder is what comes out.
        start: folder of the model to start from.
        steps, long_steps: of short runs and of long ones.
        steps_again: of short runs once more before the long ones, with a learning rate that rises and falls again.
    """
    objective = {"face_weight": 3, "feature_weight": 4, "drop_all": 0.05, "drop_motion": 0.05}
    # Where and how the head is to be is learnt under so much noise that nothing else tells it.
    objective |= {"log_sigma_mean": 2.5, "log_sigma_std": 1.5}
    shared = {
        "data": str(work.folder / CLIPS),
        "seed": seed,
        "objective": objective,
        "examples": {"cached_latents": True, "cached_motion": True},
        "validation": {"data": str(work.folder / HELD_OUT), "inference_steps": 0},
    }
    run = {"mixed_precision": "bf16", "clips_in_memory": 100_000, "log_every": 50, "checkpoint_every": 500}
    # What describes the motion is to stay as it is until the face is drawn well enough to need it.
    optimizer = {"schedule": "cosine", "beta2": 0.99, "new_parts_learning_rate": 5e-4}
    short = {
        "model": str(start),
        "output": str(work.folder / name / "short"),
        "run": run | {"max_steps": steps, "batch_size": 16, "num_frames": [4]},
        "optimizer": optimizer | {"learning_rate": 1e-3, "warmup_steps": 200},
        "validation": shared["validation"] | {"every": 250, "examples": 64},
    }
    again = short | {
        "model": str(work.folder / name / "short" / "model"),
        "output": str(work.folder / name / "again"),
        "run": short["run"] | {"max_steps": steps_again},
        "optimizer": optimizer | {"learning_rate": 7e-4, "new_parts_learning_rate": 3.5e-4, "warmup_steps": 100},
        "seed": seed + 1,
    }
    long = {
        "model": str(work.folder / name / ("again" if steps_again else "short") / "model"),
        "output": str(work.folder / name / "long"),
        "run": run | {"max_steps": long_steps, "batch_size": 2, "num_frames": [24]},
        "optimizer": optimizer | {"learning_rate": 2e-4, "new_parts_learning_rate": 1e-4, "warmup_steps": 50},
        "examples": shared["examples"] | {"padding_probability": 0.3},
        "validation": shared["validation"] | {"every": 150, "examples": 16},
    }
    stages = (short, again, long) if steps_again else (short, long)
    return all(_run_stage(work, name, shared | settings) for settings in stages)


def _run_stage(work: Work, name: str, settings: dict[str, Any]) -> bool:
    if (Path(settings["output"]) / "model").exists():
        return True
    settings["run"] |= {"max_minutes": work.minutes_left}
    # The CPU's fused attention is made for long sequences; its backward pass took a quarter of a step.
    with work.timed(name), StageProgress() as progress, sdpa_kernel(SDPBackend.MATH):
        return train(make_config(settings), progress).model is not None
