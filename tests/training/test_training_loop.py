"""A run can be stopped at any moment and goes on as if it had not been."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_parts import make_clip, short_run, with_run, write_clips

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.cli.train import train as train_command
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.media import open_frames
from diffusers_hunyuan_portrait.training import checkpoints
from diffusers_hunyuan_portrait.training.clips import load_batches
from diffusers_hunyuan_portrait.training.divergence import STEPS, DivergedError, LossWatch
from diffusers_hunyuan_portrait.training.examples import Sizes
from diffusers_hunyuan_portrait.training.loop import export, train


@pytest.fixture
def config(small_model, shards, tmp_path):
    return short_run(small_model, shards, tmp_path / "out")


class ReadClips:
    """Four clips that remember which of them was read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.read.append(index)
        return make_clip(index)


def losses_of(config, until=None):
    """The losses of a run by their steps; it is stopped by force after step `until`."""
    losses = {}

    def note(step, loss):
        losses[step] = loss
        if step == until:
            raise KeyboardInterrupt

    try:
        train(config, on_step=note)
    except KeyboardInterrupt:
        assert until is not None
    return losses


def names(config):
    return [path.name for path in checkpoints.find_checkpoints(checkpoints_of(config))]


def checkpoints_of(config):
    return Path(config.output) / "checkpoints"


def trained_weights(config):
    return load_file(checkpoints.find_checkpoints(checkpoints_of(config))[-1] / checkpoints.WEIGHTS_FILE)


def test_stop_and_go_equals_going_through(config, tmp_path):
    config = dataclasses.replace(
        with_run(config, max_steps=6, checkpoint_every=2),
        optimizer=dataclasses.replace(config.optimizer, schedule="cosine", warmup_steps=2),
    )
    straight = losses_of(config)
    halting = dataclasses.replace(config, output=str(tmp_path / "halting"))
    first = losses_of(halting, until=5)
    assert names(halting) == ["step-00000002", "step-00000004"]
    second = losses_of(halting)
    assert list(second) == [5, 6]
    assert (first | second) == pytest.approx(straight, abs=1e-6)
    through, in_stretches = trained_weights(config), trained_weights(halting)
    assert max((through[key] - in_stretches[key]).abs().max() for key in through) <= 1e-6


def test_a_run_trains_and_leaves_a_model_with_the_mean_weights(config, small_model):
    result = train(config)
    before = hp.HunyuanPortraitPipeline.from_pretrained(small_model)
    after = hp.HunyuanPortraitPipeline.from_pretrained(result.model)
    weights = trained_weights(config)
    name = "time_embedding.linear_1.weight"
    assert torch.equal(after.unet.state_dict()[name], weights[f"unet.{name}"])
    assert not torch.equal(after.unet.state_dict()[name], before.unet.state_dict()[name])
    raw = load_file(checkpoints_of(config) / "step-00000004" / "model.safetensors")
    assert not torch.equal(raw[f"unet.{name}"], weights[f"unet.{name}"])
    for part in (lambda pipe: pipe.vae, lambda pipe: pipe.motion_extractor.expression_encoder):
        old, new = part(before).state_dict(), part(after).state_dict()
        assert all(torch.equal(old[key], new[key]) for key in old)


def test_a_finished_run_is_not_trained_again(config):
    train(config)
    assert losses_of(config) == {}


def test_a_run_in_another_precision_can_follow(config, tmp_path):
    def run(name, mixed_precision):
        run_config = with_run(config, max_steps=2, mixed_precision=mixed_precision)
        return losses_of(dataclasses.replace(run_config, output=str(tmp_path / name)))

    before = run("before", "no")
    assert run("between", "bf16") != before
    assert run("after", "no") == before


def test_accumulated_batches_and_worker_processes_give_the_same_steps(config, tmp_path):
    whole = losses_of(with_run(config, max_steps=2))
    parts = with_run(config, max_steps=2, batch_size=1, gradient_accumulation_steps=2, workers=1)
    parts = dataclasses.replace(parts, output=str(tmp_path / "parts"))
    # Sums over other batches, in float32.
    assert losses_of(parts) == pytest.approx(whole, rel=1e-4)


def test_every_clip_comes_once_an_epoch(config):
    clips = ReadClips()
    batches = load_batches(clips, Sizes(32, 8, 4, 28, 32), with_run(config, max_steps=4), first_step=0)
    assert len(list(batches)) == 4
    assert sorted(clips.read[:4]) == sorted(clips.read[4:]) == [0, 1, 2, 3]
    assert clips.read[:4] != clips.read[4:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_with_a_checkpoint(config, number):
    before = signal.getsignal(number)
    result = train(config, on_step=lambda step, loss: os.kill(os.getpid(), number) if step == 1 else None)
    assert result.signal == number
    assert result.model is None
    assert names(config) == [f"step-{result.step:08d}"]
    assert result.step < config.run.max_steps
    assert signal.getsignal(number) is before


def test_the_clock_ends_the_run_with_a_checkpoint(config):
    result = train(with_run(config, max_minutes=0.0))
    assert (result.step, result.model, result.signal) == (1, None, None)
    assert names(config) == ["step-00000001"]


def test_a_checkpoint_is_written_whole_or_not_at_all(config, monkeypatch):
    train(with_run(config, max_minutes=0.0))

    def fail(*args):
        raise OSError("no space left")

    monkeypatch.setattr("diffusers_hunyuan_portrait.training.loop.write_state", fail)
    with pytest.raises(OSError, match="no space"):
        train(config)
    assert names(config) == ["step-00000001"]
    monkeypatch.undo()
    assert losses_of(config).keys() == {2, 3, 4}
    assert {path.name for path in checkpoints_of(config).iterdir()} == set(names(config))


def test_the_last_checkpoints_are_kept(config):
    train(with_run(config, checkpoint_every=1, keep_checkpoints=2))
    assert names(config) == ["step-00000003", "step-00000004"]


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint_kept(config):
    train(with_run(config, max_minutes=0.0))
    wild = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, learning_rate=1e30))
    kept = trained_weights(config)
    with pytest.raises(DivergedError, match=r"became (nan|inf).*step-00000001, which is kept, .*learning rate"):
        train(wild)
    assert names(config) == ["step-00000001"]
    again = trained_weights(config)
    assert all(torch.equal(kept[key], again[key]) for key in kept)


def test_a_mean_loss_far_above_its_best_is_seen():
    watch = LossWatch(factor=2)

    def go_on(loss):
        for step in range(5 * STEPS):
            watch.check(step, loss, 1.0)

    go_on(1.0)
    go_on(1.9)
    with pytest.raises(DivergedError, match="more than 2 times its best, 1"):
        go_on(3.0)


def test_a_run_of_another_stage_or_model_is_not_gone_on_with(config, small_model, shards):
    train(with_run(config, max_minutes=0.0))
    with pytest.raises(UserError, match="stage portrait, not adapter"):
        train(dataclasses.replace(config, stage="adapter"))


def test_a_checkpoint_can_be_exported_before_the_run_is_finished(config):
    with pytest.raises(UserError, match="no checkpoint"):
        export(config)
    train(with_run(config, max_minutes=0.0))
    folder = export(config)
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(folder)
    name = "conv_in.bias"
    assert torch.equal(loaded.unet.state_dict()[name], trained_weights(config)[f"unet.{name}"])


def test_held_out_clips_are_shown_and_measured(config, tmp_path):
    event_files = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    held_out = write_clips(tmp_path / "held_out", count=2, first_seed=50)
    config = with_run(config, tensorboard=True, max_steps=2, log_every=1)
    validation = dataclasses.replace(config.validation, data=str(held_out), every=2, inference_steps=1)
    train(dataclasses.replace(config, validation=validation))
    clip = open_frames(tmp_path / "out" / "validation" / "step-00000002.mp4")
    assert next(iter(clip)).shape == (32, 96, 3)
    events = event_files.EventAccumulator(str(tmp_path / "out" / "logs"))
    events.Reload()
    assert [point.step for point in events.Scalars("loss")] == [1, 2]
    assert (
        events.Scalars("validation/loss")[0].value != events.Scalars("validation/loss_with_wrong_motion")[0].value
    )
    assert events.Scalars("validation/psnr")[0].value > 0
    assert len(events.Images("validation/clip")) == 1


def test_the_command_trains_and_says_where_the_model_is(small_model, shards, tmp_path, capfd):
    path = tmp_path / "run.yaml"
    path.write_text(
        f"model: {small_model}\ndata: {shards}\noutput: {tmp_path / 'out'}\n"
        "run: {max_steps: 1, num_frames: [3], tensorboard: false}\n"
    )
    train_command(path)
    assert "Wrote" in capfd.readouterr().err
    assert (tmp_path / "out" / "model" / "model_index.json").is_file()
