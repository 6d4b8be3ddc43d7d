"""Distils the small model into few steps by the stage *consistency*, and holds 4 steps against 25.

    python recipes/drawn_faces/student.py --work FOLDER --minutes 30

FOLDER is that of `make.py`, or a new one; the model is the shipped one. It goes on when run again.
"""

from pathlib import Path

import torch
from comparing import make_parser, measure, report, store_clips
from diffusers import EulerDiscreteScheduler
from portrait import CLIPS, HELD_OUT
from stretches import Work

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.cli.display import StageProgress
from diffusers_hunyuan_portrait.evaluation import Figures
from diffusers_hunyuan_portrait.loading import DRAWN_FACES
from diffusers_hunyuan_portrait.training import make_config, train

FEW, MANY = 4, 25  # steps
TRAINING_STEPS = 600
# Name: whether the student's LoRA is used, and the arguments of the pipeline's call.
GUIDED = {"appearance_guidance_scale": 1.5, "motion_guidance_scale": 1.5}  # as the student's teacher is
UNGUIDED = {"appearance_guidance_scale": 1.0, "motion_guidance_scale": 1.0}
ROWS = {
    f"model, {MANY} steps": (False, {"num_inference_steps": MANY} | GUIDED),
    f"model, {FEW} steps": (False, {"num_inference_steps": FEW} | GUIDED),
    f"student, {FEW} steps": (True, {"num_inference_steps": FEW} | UNGUIDED),
}


def train_student(work: Work, steps: int) -> Path | None:
    """The folder of the student's LoRA and scheduler, or `None` where the stretch is over before."""
    if not store_clips(work):
        return None
    output = work.folder / "student"
    if not (output / "model").exists():
        settings = {
            "stage": "consistency",
            "model": str(DRAWN_FACES),
            "data": str(work.folder / CLIPS),
            "output": str(output),
            "examples": {"cached_latents": True, "cached_motion": True},
            "objective": {"face_weight": 3},
            "run": {
                "mixed_precision": "bf16",
                "max_steps": steps,
                "batch_size": 2,
                "num_frames": [24],
                "clips_in_memory": 100_000,
                "checkpoint_every": 100,
                "max_minutes": work.minutes_left,
            },
            "optimizer": {"learning_rate": 5e-4, "schedule": "cosine", "warmup_steps": 30, "ema_decay": 0.98},
            "validation": {"data": str(work.folder / HELD_OUT), "inference_steps": 0, "every": 100},
            "adapter": {"rank": 16},
            "consistency": {"steps": FEW, "sigma_min": 20} | GUIDED,  # where the model's own sampling ends
        }
        with work.timed("student"), StageProgress() as progress:
            if train(make_config(settings), progress).model is None:
                return None
    return output / "model"


def measure_row(work: Work, name: str, num_pairs: int) -> Figures | None:
    with_student, settings = ROWS[name]
    pipe = load_pipeline("drawn-faces", "cpu", torch.float32)
    if with_student:
        student = train_student(work, TRAINING_STEPS)
        if student is None:
            return None
        pipe.load_lora_weights(student)
        pipe.scheduler = EulerDiscreteScheduler.from_pretrained(student / "scheduler")
    with work.timed("student-measuring"):
        return measure(pipe, num_pairs, **settings)


def main() -> None:
    options = make_parser(__doc__).parse_args()
    work = Work(options.work, options.minutes)
    report(work, "student", "sampling", ROWS, lambda name: measure_row(work, name, options.pairs))


if __name__ == "__main__":
    main()
