"""Solvers step along the same noise levels, and end where a known equation says."""

import pytest
import torch
from diffusers import DDIMScheduler

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.sampling import SOLVERS, make_solver

DATA_DEVIATION = 0.5


@pytest.fixture(scope="module")
def released():
    """Noise levels as the released weights have them."""
    return make_solver("euler", hp.load_pipeline("tiny", "cpu", torch.float32).scheduler)


@pytest.mark.parametrize("name", SOLVERS)
def test_noise_levels_and_times_are_the_schedulers_own(name, released):
    solver = make_solver(name, released)
    for scheduler in (released, solver):
        scheduler.set_timesteps(25)
    torch.testing.assert_close(solver.sigmas, released.sigmas, rtol=1e-5, atol=0)
    torch.testing.assert_close(solver.timesteps, released.timesteps)
    torch.testing.assert_close(solver.timesteps, released.sigmas[:-1].log() / 4)


def solve(name: str, released, steps: int) -> float:
    """How far a solver's end is from the true one, where data are normal and so the best prediction is known.

    Of data with deviation s, a sample under noise σ moves along x(σ) ∝ √(s² + σ²).
    """
    solver = make_solver(name, released)
    solver.set_timesteps(steps)
    solver.set_begin_index(0)
    highest = solver.sigmas[0]
    x = start = torch.randn(4096, generator=torch.Generator().manual_seed(0)) * highest
    for index, timestep in enumerate(solver.timesteps):
        sigma = solver.sigmas[index]
        scaled = solver.scale_model_input(x, timestep)
        torch.testing.assert_close(scaled, x / (1 + sigma**2).sqrt())
        data = x * DATA_DEVIATION**2 / (DATA_DEVIATION**2 + sigma**2)
        v = (x / (1 + sigma**2) - data) * (1 + sigma**2).sqrt() / sigma
        x = solver.step(v, timestep, x).prev_sample
    end = start * DATA_DEVIATION / (DATA_DEVIATION**2 + highest**2).sqrt()
    return ((x - end).abs().mean() / end.abs().mean()).item()


def test_the_second_order_is_as_near_in_half_the_steps(released):
    assert solve("dpm++2m", released, 12) < solve("euler", released, 25)
    for name in SOLVERS:
        assert solve(name, released, 200) < 0.03


def test_what_cannot_be_solved_is_said(released):
    with pytest.raises(UserError, match="no solver 'heun'; there is euler, dpm"):
        make_solver("heun", released)
    with pytest.raises(UserError, match="cannot be changed for DDIMScheduler"):
        make_solver("dpm++2m", DDIMScheduler())
