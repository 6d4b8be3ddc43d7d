"""LoRA is trained beside frozen networks, loads into the pipeline, and makes few steps do what many did."""

import dataclasses

import pytest
import torch
from training_parts import make_batch, make_pipeline, short_run, with_run

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.training import AdapterTraining, ConsistencyTraining, make_config, train
from diffusers_hunyuan_portrait.training.config import ConsistencyOptions
from diffusers_hunyuan_portrait.training.objective import add_noise, jump

pytest.importorskip("peft")


def test_only_the_matrices_are_trained_and_every_attention_has_them():
    pipe = make_pipeline()
    stage = AdapterTraining(pipe, rank=2)
    stage(make_batch(pipe)).backward()
    trained = {id(weight) for weight in stage.parameters()}
    with_gradient = {id(w) for net in stage.frozen for w in net.parameters() if w.grad is not None}
    assert with_gradient == trained
    layers = {name.rpartition("/")[2] if "to_out" not in name else "to_out" for name in stage.matrices}
    assert layers == {"to_q", "to_k", "to_v", "to_k_motion", "to_v_motion", "to_out"}
    assert len(stage.matrices) == sum(hasattr(module, "lora_A") for module in pipe.unet.modules())


def test_a_trained_adapter_loads_into_the_pipeline(small_model, shards, tmp_path):
    config = short_run(small_model, shards, tmp_path / "out", stage="adapter", adapter={"rank": 2})
    first, last = {}, {}
    result = train(with_run(config, max_minutes=0.0), on_step=first.__setitem__)
    assert result.step == 1
    result = train(config, on_step=last.__setitem__)
    assert list(last) == [2, 3, 4]
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(small_model)
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    pipe.load_lora_weights(result.model)
    pipe.fuse_lora()
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k_motion"
    assert not torch.equal(pipe.unet.get_submodule(name).base_layer.weight, before[f"{name}.weight"])


def test_half_precision_of_the_base_needs_it_in_computing():
    needed = {"model": "m", "data": "d", "output": "o", "stage": "adapter", "adapter": {"base_dtype": "bf16"}}
    with pytest.raises(UserError, match=r"`adapter.base_dtype` is bf16"):
        make_config(needed)
    assert make_config(needed | {"run": {"mixed_precision": "bf16"}}).adapter.base_dtype == "bf16"


def test_the_noise_levels_of_a_student_lead_through_its_schedulers_steps():
    pipe = make_pipeline()
    options = ConsistencyOptions(steps=4, teacher_steps=3)
    levels = ConsistencyTraining(pipe, options=options, rank=2).levels
    assert levels.shape == (12, 3)
    pipe.scheduler.set_timesteps(4)
    assert levels[:, 0][::3].tolist() == pytest.approx(pipe.scheduler.sigmas[:-1].tolist())
    assert levels[:, 2][::3].tolist() == pytest.approx(pipe.scheduler.sigmas[1:].tolist())
    assert torch.equal(levels[:-1, 1], levels[1:, 0])
    assert levels[-1, 1] == levels[-1, 2] == 0
    assert (levels[:, 0] > levels[:, 1]).all()


def conditions_of(stage, batch):
    latents, portrait_latents = stage.encode_pictures(batch)
    return latents, (portrait_latents, stage.encode_image(batch), stage.encode_motion(batch))


@torch.no_grad()
def come_down(ask, noisy, sigmas):
    """Euler steps over all of `sigmas`, of what `ask` predicts."""
    for sigma, lower in zip(sigmas[:-1], sigmas[1:], strict=True):
        sigma, lower = (level.expand(len(noisy)) for level in (sigma, lower))
        noisy = jump(noisy, ask(noisy, sigma), sigma, lower)
    return noisy


def test_distilling_lowers_the_error_of_four_steps():
    pipe = make_pipeline()
    with torch.no_grad():  # a teacher whose way is not straight, and whose guidance counts
        pipe.unet.conv_out.weight *= 3
    options = ConsistencyOptions(steps=4, teacher_steps=4, appearance_guidance_scale=3, motion_guidance_scale=2)
    stage = ConsistencyTraining(pipe, options=options, rank=8, alpha=8)
    batch = make_batch(pipe, size=4, num_frames=2)
    latents, conditions = conditions_of(stage, batch)
    start = add_noise(latents, batch["noise"], torch.full((4,), options.sigma_max))
    fine = torch.cat([stage.levels[:, 0], torch.zeros(1)])
    truth = come_down(lambda noisy, sigmas: stage._ask_teacher(noisy, sigmas, *conditions), start, fine)

    def error():
        coarse = torch.cat([stage.levels[::4, 0], torch.zeros(1)])
        made = come_down(lambda noisy, sigmas: stage.predict(noisy, sigmas, *conditions), start, coarse)
        return (made - truth).square().mean().sqrt().item()

    before = error()
    optimizer = torch.optim.AdamW(stage.parameter_groups(5e-3, 5e-3), weight_decay=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        drawn = {"noise_level": torch.randn(4, generator=generator)}
        drawn["noise"] = torch.randn(batch["noise"].shape, generator=generator)
        stage(batch | drawn).backward()
        optimizer.step()
        optimizer.zero_grad()
    print(before, error())
    assert error() < 0.7 * before


def test_a_student_is_written_with_the_scheduler_that_it_is_sampled_by(small_model, shards, tmp_path):
    config = short_run(small_model, shards, tmp_path / "out", stage="consistency", adapter={"rank": 2})
    result = train(dataclasses.replace(with_run(config, max_steps=1)))
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(small_model)
    pipe.load_lora_weights(result.model)
    pipe.scheduler = type(pipe.scheduler).from_pretrained(result.model / "scheduler")
    pipe.scheduler.set_timesteps(4)
    assert pipe.scheduler.sigmas[[0, -2]].tolist() == pytest.approx(
        [config.consistency.sigma_max, config.consistency.sigma_min], rel=1e-4
    )
