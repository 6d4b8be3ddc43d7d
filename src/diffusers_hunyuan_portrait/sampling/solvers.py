"""Solvers that can take the steps of a run, on the same noise levels."""

from typing import Any

from diffusers import EDMDPMSolverMultistepScheduler, EulerDiscreteScheduler, SchedulerMixin

from ..errors import UserError

EULER, DPM = "euler", "dpm++2m"
SOLVERS = (EULER, DPM)


def check_solver(name: str) -> None:
    """Sees that there is such a solver.

    Raises:
        UserError: there is not.
    """
    if name not in SOLVERS:
        raise UserError(f"There is no solver {name!r}; there is {', '.join(SOLVERS)}.")


def make_euler(sigma_min: float, sigma_max: float) -> EulerDiscreteScheduler:
    """Stable Video Diffusion's scheduler: v-prediction by Euler's method, between these noise levels."""
    return EulerDiscreteScheduler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )


def make_solver(name: str, scheduler: SchedulerMixin) -> SchedulerMixin:
    """A scheduler that solves by the method called `name`, from one of `SOLVERS`.

    Args:
        name: "euler", which the released weights are shown with; "dpm++2m", of second order, which comes as
            near in fewer steps.
        scheduler: the present one, whose noise levels are kept.

    Raises:
        UserError: there is no such solver, or `scheduler` is not of Stable Video Diffusion's kind.
    """
    check_solver(name)
    config: Any = scheduler.config
    if config.get("prediction_type") != "v_prediction" or not config.get("sigma_min"):
        raise UserError(
            f"The solver cannot be changed for {type(scheduler).__name__}, which is not of Stable Video "
            "Diffusion's kind: it must predict v, and name its lowest and highest noise."
        )
    levels = {"sigma_min": config["sigma_min"], "sigma_max": config["sigma_max"]}
    if name == EULER:
        return make_euler(**levels)
    # What SVD predicts is EDM's with data of unit variance.
    return EDMDPMSolverMultistepScheduler(prediction_type="v_prediction", sigma_data=1.0, **levels)
