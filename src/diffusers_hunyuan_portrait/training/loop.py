"""The loop that every stage is trained in: from a configuration to checkpoints and a trained model."""

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, send_to_device, set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

from ..convert.checkpoint import DTYPES
from ..dataset import Clip, ClipShards
from ..errors import UserError
from ..loading import load_pipeline
from ..progress import Progress, no_progress
from .adapter import AdapterTraining
from .checkpoints import (
    WEIGHTS_FILE,
    copy_whole,
    find_checkpoints,
    read_state,
    replace_folder,
    whole,
    write_checkpoint,
    write_state,
)
from .clips import load_batches
from .config import TrainingConfig
from .consistency import ConsistencyTraining
from .divergence import DivergedError, LossWatch
from .examples import Sizes
from .portrait import PortraitTraining
from .stage import Stage
from .stopping import StopRequests
from .validation import animate_clip, compare_motions, film_strip, make_validation_batch, write_clip

logger = logging.get_logger(__name__)

Batches = Iterator[Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Args:
        step: optimizer steps done, those of earlier stretches included.
        model: what was trained, where the run is finished.
        signal: that ended it before, if one did.
    """

    step: int
    model: Path | None
    signal: int | None


def train(
    config: TrainingConfig,
    on_progress: Progress = no_progress,
    on_step: Callable[[int, float], None] | None = None,
) -> TrainingResult:
    """Trains from the last checkpoint in the output's folder, or from the start where there is none.

    Called again with the same configuration, a run that was stopped, by the clock, by a signal or by force, goes
    on; by force, it repeats what came after the last checkpoint.

    Args:
        on_progress: told of the stage "train", in optimizer steps.
        on_step: told the number of each step and its loss, the mean over all processes.

    Raises:
        UserError: a setting does not fit the model, the data or the machine.
        DivergedError: the loss went wrong; the last good checkpoint is kept.
    """
    with _accelerator(config) as accelerator:
        return _train(config, accelerator, on_progress, on_step)


def _train(
    config: TrainingConfig,
    accelerator: Accelerator,
    on_progress: Progress,
    on_step: Callable[[int, float], None] | None,
) -> TrainingResult:
    run = config.run
    stage = make_stage(config)
    clips = ClipShards(config.data)
    held_out = None if config.validation.data is None else ClipShards(config.validation.data)
    trainer = Trainer(config, accelerator, stage)
    trainer.resume()
    with StopRequests(run.max_minutes) as requests:
        batches = iter(
            load_batches(
                clips, trainer.sizes, config, trainer.step, accelerator.process_index, accelerator.num_processes
            )
        )
        while trainer.step < run.max_steps:
            loss, stopping = trainer.take_step(batches, requests.asked)
            if on_step is not None:
                on_step(trainer.step, loss)
            on_progress("train", trainer.step, run.max_steps)
            if stopping or trainer.step % run.checkpoint_every == 0 or trainer.step == run.max_steps:
                trainer.write_checkpoint()
            if held_out is not None and trainer.step % config.validation.every == 0:
                trainer.validate(held_out)
            if stopping:
                break
    finished = trainer.step >= run.max_steps
    if finished and accelerator.is_main_process:
        export(config)
    accelerator.end_training()
    return TrainingResult(
        trainer.step, Path(config.output) / "model" if finished else None, None if finished else requests.signal
    )


def make_stage(config: TrainingConfig) -> Stage:
    """The module that `config.stage` trains, on the CPU; weights that it draws depend on the seed."""
    set_seed(config.seed)
    if config.stage == "portrait":
        return PortraitTraining(load_pipeline(config.model, "cpu", torch.float32), config.objective)
    pipe = load_pipeline(config.model, "cpu", DTYPES[config.adapter.base_dtype])
    lora = {"rank": config.adapter.rank, "alpha": config.adapter.alpha}
    if config.stage == "adapter":
        return AdapterTraining(pipe, config.objective, **lora)
    return ConsistencyTraining(pipe, config.objective, config.consistency, **lora)


def export(config: TrainingConfig) -> Path:
    """Writes what the last checkpoint holds, the mean weights where there are such, to `model` in the output.

    Raises:
        UserError: there is no checkpoint.
    """
    output = Path(config.output)
    checkpoints = find_checkpoints(output / "checkpoints")
    if not checkpoints:
        raise UserError(f"There is no checkpoint in {output / 'checkpoints'} to export; train first.")
    stage = make_stage(config)
    stage.load_state_dict(load_file(checkpoints[-1] / WEIGHTS_FILE))
    unfinished = output / "model.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    stage.save(unfinished)
    replace_folder(unfinished, output / "model")
    return output / "model"


class Trainer:
    """A run between two steps: the stage with its optimizer, the mean weights, and what the curves are made of.

    Args:
        config: the run's.
        accelerator: what it runs on.
        stage: a module whose forward takes a batch and gives the loss.
    """

    def __init__(self, config: TrainingConfig, accelerator: Accelerator, stage: Stage):
        run, settings = config.run, config.optimizer
        self.config, self.accelerator, self.stage = config, accelerator, stage
        self.sizes = Sizes.of(stage.pipe)
        if run.gradient_checkpointing:
            stage.pipe.unet.enable_gradient_checkpointing()
        if run.compile:
            stage.pipe.unet.compile_repeated_blocks()
        new_rate = settings.new_parts_learning_rate
        optimizer = torch.optim.AdamW(
            stage.parameter_groups(
                settings.learning_rate, settings.learning_rate if new_rate is None else new_rate
            ),
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.module, self.optimizer = accelerator.prepare(stage, optimizer)
        # Not prepared: accelerate would step it once for each process.
        self.scheduler = get_scheduler(
            settings.schedule,
            self.optimizer.optimizer,
            num_warmup_steps=settings.warmup_steps,
            num_training_steps=run.max_steps,
        )
        self.ema = None
        if settings.ema_decay > 0:
            self.ema = EMAModel(self._trained().values(), decay=settings.ema_decay, foreach=True)
        self.watch = LossWatch(run.divergence_factor)
        self.step = 0
        self._validation_batch: Mapping[str, torch.Tensor] | None = None
        self._losses: list[float] = []  # since the last point of the curves
        self._last_point = time.perf_counter()

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: weight for name, weight in self.stage.named_parameters() if weight.requires_grad}

    # -- Steps -----------------------------------------------------------------------------------------------

    def take_step(self, batches: Batches, stop: bool) -> tuple[float, bool]:
        """One optimizer step.

        Args:
            batches: as many are taken as gradients are accumulated of.
            stop: whether this process was asked to end.

        Returns:
            The mean loss over all processes, and whether any of them was asked to end.

        Raises:
            DivergedError: the loss went wrong; the weights are then as they were before.
        """
        passes = self.config.run.gradient_accumulation_steps
        device = self.accelerator.device
        loss = torch.zeros((), device=device)
        for _ in range(passes):
            batch = send_to_device(next(batches), device, non_blocking=True)
            with self.accelerator.accumulate(self.module):
                part = self.module(batch)
                self.accelerator.backward(part)
            loss += part.detach() / passes
        limit = self.config.optimizer.max_grad_norm
        clipped: Any = self.accelerator.clip_grad_norm_(self.module.parameters(), limit)
        # DeepSpeed clips by itself, and tells a number or nothing.
        norm = whole(clipped).item() if isinstance(clipped, torch.Tensor) else float(clipped or 0.0)
        told: Any = self.accelerator.reduce(torch.stack([loss, loss.new_tensor(float(stop))]), "mean")
        mean_loss, stopping = told.tolist()
        self._check(mean_loss, norm)

        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        if self.ema is not None:
            self.ema.step(self._trained().values())
        self.step += 1
        self._draw_curves(mean_loss, norm)
        return mean_loss, stopping > 0

    def _check(self, loss: float, norm: float) -> None:
        try:
            # Half precision finds the scale of its gradients by leaving out steps at which they overflow.
            self.watch.check(self.step + 1, loss, norm if self.accelerator.scaler is None else 0.0)
        except DivergedError as error:
            kept = find_checkpoints(self._checkpoints)
            advice = f"go on from {kept[-1]}, which is kept, with" if kept else "start again with"
            raise DivergedError(f"{error} Training has stopped; {advice} a lower learning rate.") from None

    def _draw_curves(self, loss: float, norm: float) -> None:
        self._losses.append(loss)
        if self.step % self.config.run.log_every == 0:
            now = time.perf_counter()
            curves = {
                "loss": sum(self._losses) / len(self._losses),
                "gradient_norm": norm,
                "learning_rate": self.scheduler.get_last_lr()[0],
                "steps_per_second": len(self._losses) / (now - self._last_point),
            }
            self.accelerator.log(curves, step=self.step)
            self._losses, self._last_point = [], now

    # -- Checkpoints -----------------------------------------------------------------------------------------

    @property
    def _checkpoints(self) -> Path:
        return Path(self.config.output) / "checkpoints"

    def write_checkpoint(self) -> None:
        """Writes the run as it stands, whole or not at all; all processes call it."""
        keep = self.config.run.keep_checkpoints
        write_checkpoint(self._checkpoints, self.step, keep, self.accelerator, self._save)

    def _save(self, folder: Path) -> None:
        self.accelerator.save_state(str(folder))
        weights = {name: whole(value) for name, value in self.stage.state_dict().items()}
        if self.ema is not None:
            weights |= {
                name: whole(mean) for name, mean in zip(self._trained(), self.ema.shadow_params, strict=True)
            }
        if self.accelerator.is_main_process:
            save_file(weights, folder / WEIGHTS_FILE)
            state = {
                "stage": self.config.stage,
                "step": self.step,
                "ema_steps": 0 if self.ema is None else self.ema.optimization_step,
                "watch": asdict(self.watch),
            }
            write_state(folder, state)

    def resume(self) -> None:
        """Goes on from the last checkpoint, where there is one.

        Raises:
            UserError: it is of another stage, or of another model.
        """
        written = find_checkpoints(self._checkpoints)
        if not written:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
            self._start_curves()
            return
        state = read_state(written[-1])
        if state["stage"] != self.config.stage:
            raise UserError(
                f"{self._checkpoints} holds a run of the stage {state['stage']}, not {self.config.stage}; give "
                "another `output`."
            )
        settings = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        try:
            self.accelerator.load_state(str(written[-1]))
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"The checkpoint {written[-1]} is of another model, or damaged ({reason}); give another `output`."
            ) from error
        self.step = state["step"]
        # The settings are those of the configuration, which may have been changed since.
        self.scheduler.last_epoch = self.step
        rates = zip(self.scheduler.base_lrs, self.scheduler.lr_lambdas, strict=True)
        for group, own, (rate, factor) in zip(self.optimizer.param_groups, settings, rates, strict=True):
            group.update(own | {"lr": rate * factor(self.step)})
        self.watch = LossWatch(**(state["watch"] | {"factor": self.config.run.divergence_factor}))
        if self.ema is not None:
            self.ema.optimization_step = state["ema_steps"]
            weights = load_file(written[-1] / WEIGHTS_FILE)
            with torch.no_grad():
                for name, mean in zip(self._trained(), self.ema.shadow_params, strict=True):
                    copy_whole(weights[name], mean)
        self._start_curves()
        if self.accelerator.is_main_process:
            logger.info(f"Going on from {written[-1]}.")

    def _start_curves(self) -> None:
        if self.config.run.tensorboard:
            # What was drawn after the checkpoint by a run that was stopped by force is drawn anew.
            self.accelerator.init_trackers("logs", init_kwargs={"tensorboard": {"purge_step": self.step + 1}})

    # -- Validation ------------------------------------------------------------------------------------------

    def validate(self, held_out: ClipShards) -> None:
        """Draws what held-out clips show: losses, and the first of them made again as a clip and a picture."""
        if self._validation_batch is None:
            batch = make_validation_batch(held_out, self.sizes, self.config)
            self._validation_batch = send_to_device(batch, self.accelerator.device)
        trained = list(self._trained().values())
        if self.ema is not None:
            self.ema.store(trained)
            self.ema.copy_to(trained)
        try:
            self.accelerator.log(compare_motions(self.module, self._validation_batch), step=self.step)
            # Sharded networks run only inside their stage, and all processes together.
            if self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
                return
            if self.accelerator.is_main_process and self.config.validation.inference_steps:
                self._show_clip(held_out[0])
        finally:
            if self.ema is not None:
                self.ema.restore(trained)
        self.accelerator.wait_for_everyone()

    def _show_clip(self, clip: Clip) -> None:
        sampling = {"num_inference_steps": self.config.validation.inference_steps} | self.stage.sampling
        self.stage.eval()
        frames, psnr = animate_clip(self.stage.pipe, clip, self.config.seed, sampling, self.config.examples.pose)
        self.stage.train()
        path = Path(self.config.output) / "validation" / f"step-{self.step:08d}.mp4"
        write_clip(path, frames, clip.frame_rate)
        self.accelerator.log({"validation/psnr": psnr}, step=self.step)
        for tracker in self.accelerator.trackers:
            tracker.log_images({"validation/clip": film_strip(frames)}, step=self.step, dataformats="NHWC")


@contextmanager
def _accelerator(config: TrainingConfig) -> Iterator[Accelerator]:
    run = config.run
    if run.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "Curves are written by tensorboard, which is not installed; install it with `pip install "
            "tensorboard`, or set `run.tensorboard` to false."
        )
    try:
        yield Accelerator(
            mixed_precision=run.mixed_precision,
            gradient_accumulation_steps=run.gradient_accumulation_steps,
            log_with="tensorboard" if run.tensorboard else None,
            project_dir=config.output,
        )
    finally:
        # Otherwise the process keeps it, and refuses a later run in another mixed precision.
        AcceleratorState._reset_state()
