"""The settings of a training run, as a YAML file holds them; defaults are the paper's where it tells them."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..convert.checkpoint import DTYPES
from ..errors import UserError
from .examples import ExampleOptions
from .objective import ObjectiveOptions
from .options import option, read_options

STAGES = ("portrait", "adapter", "consistency")
SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


@dataclass(frozen=True)
class RunOptions:
    """How long, in what portions and on what."""

    max_steps: int = option(100_000, "optimizer steps of the whole run", low=1)
    max_minutes: float | None = option(None, "stop with a checkpoint after so many minutes", low=0)
    batch_size: int = option(1, "examples a process and forward pass", low=1)
    num_frames: tuple[int, ...] = option((14,), "frames of an example, one of these numbers for each batch", low=1)
    gradient_accumulation_steps: int = option(1, "forward passes an optimizer step", low=1)
    mixed_precision: str = option("no", "type that networks compute in", choices=("no", "bf16", "fp16"))
    gradient_checkpointing: bool = option(False, "save the UNet's memory at the cost of a second forward pass")
    compile: bool = option(False, "compile the UNet's blocks, which takes minutes at the start")
    workers: int = option(0, "processes that make examples, beside each that trains", low=0)
    clips_in_memory: int = option(0, "clips that each of them keeps decoded", low=0)
    checkpoint_every: int = option(1000, "optimizer steps between checkpoints", low=1)
    keep_checkpoints: int = option(2, "how many of the last checkpoints are kept", low=1)
    log_every: int = option(10, "optimizer steps between points of the curves", low=1)
    tensorboard: bool = option(True, "write curves and pictures for TensorBoard to the output's `logs`")
    divergence_factor: float | None = option(
        None, "stop where the mean loss of 100 steps is so many times the best that it has been", low=1
    )


@dataclass(frozen=True)
class OptimizerOptions:
    """AdamW, its learning rate over time, and the mean of the weights."""

    learning_rate: float = option(1e-5, "the highest, after warming up", low=0)
    new_parts_learning_rate: float | None = option(
        None, "the same for what Stable Video Diffusion is without; null: as `learning_rate`", low=0
    )
    schedule: str = option("constant_with_warmup", "learning rate over the steps", choices=SCHEDULES)
    warmup_steps: int = option(500, "optimizer steps over which the learning rate rises", low=0)
    beta1: float = option(0.9, "of AdamW", low=0, high=0.9999)
    beta2: float = option(0.999, "of AdamW", low=0, high=0.99999)
    weight_decay: float = option(0.01, "of AdamW", low=0)
    max_grad_norm: float = option(0.99, "norm that the gradient is clipped to", low=1e-6)
    ema_decay: float = option(
        0.999, "of the mean of the weights, which is what is saved; 0 turns it off", low=0, high=1
    )


@dataclass(frozen=True)
class ValidationOptions:
    """What is looked at on clips that are not trained on."""

    data: str | None = option(None, "folder of their shards; null: none")
    every: int = option(1000, "optimizer steps between two looks", low=1)
    examples: int = option(4, "examples for the validation loss, with their own motion and with another's", low=2)
    inference_steps: int = option(25, "denoising steps of the validation clip; 0 leaves it out", low=0)


@dataclass(frozen=True)
class AdapterOptions:
    """The LoRA of the stages adapter and consistency."""

    rank: int = option(16, "of the LoRA matrices", low=1)
    alpha: int = option(16, "what the LoRA is scaled by, times the rank", low=1)
    base_dtype: str = option(
        "fp32", "type that the frozen weights are held in; half takes `run.mixed_precision`", choices=tuple(DTYPES)
    )


@dataclass(frozen=True)
class ConsistencyOptions:
    """How a student of few steps is distilled."""

    steps: int = option(4, "that the student is to take; each goes over one phase", low=2, high=64)
    sigma_max: float = option(80.0, "noise level that the student starts from", low=1, high=1000)
    sigma_min: float = option(0.3, "noise level of the student's last step, below the first", low=0.01, high=100)
    teacher_steps: int = option(8, "that the teacher takes over a phase", low=1)
    appearance_guidance_scale: float = option(2.0, "of the teacher")
    motion_guidance_scale: float = option(2.0, "of the teacher")


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run."""

    model: str = option(meaning="folder or Hub repository of the model to start from")
    data: str = option(meaning="folder of shards that `prepare` wrote")
    output: str = option(meaning="folder for checkpoints, curves and the trained model")
    stage: str = option("portrait", "what is trained", choices=STAGES)
    seed: int = option(0, "fixes the order of the data and all that is drawn", low=0)
    run: RunOptions = field(default_factory=RunOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    examples: ExampleOptions = field(default_factory=ExampleOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    adapter: AdapterOptions = field(default_factory=AdapterOptions)
    consistency: ConsistencyOptions = field(default_factory=ConsistencyOptions)


def read_config(path: str | Path) -> TrainingConfig:
    """The settings in a YAML file.

    Raises:
        UserError: it cannot be read, or a setting is unknown, missing, or not what it may be.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The configuration {path} cannot be read ({error}); give a YAML file.") from error
    except yaml.YAMLError as error:
        raise UserError(f"The configuration {path} is not YAML ({' '.join(str(error).split())}).") from error
    return make_config(values)


def make_config(values: object) -> TrainingConfig:
    """The settings that a mapping holds, as `read_config` reads them.

    Raises:
        UserError: one is unknown, missing, or not what it may be, or two do not go together.
    """
    config = read_options(TrainingConfig, values)
    if config.examples.cached_latents and config.examples.style_probability > 0:
        raise UserError(
            "`examples.cached_latents` holds no stylised copies, but `examples.style_probability` is "
            f"{config.examples.style_probability}; turn one of them off."
        )
    if config.objective.drop_all + config.objective.drop_motion > 1:
        raise UserError(
            f"`objective.drop_all` {config.objective.drop_all} and `objective.drop_motion` "
            f"{config.objective.drop_motion} are probabilities of the same draw; make their sum at most 1."
        )
    base, precision = config.adapter.base_dtype, config.run.mixed_precision
    if config.stage != "portrait" and base != "fp32" and base != precision:
        raise UserError(
            f"`adapter.base_dtype` is {base}, but `run.mixed_precision` is {precision}; make them the same."
        )
    return config
