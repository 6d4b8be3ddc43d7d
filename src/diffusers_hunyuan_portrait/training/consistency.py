"""The stage *consistency*: a LoRA with which few steps do what the guided model does in many.

Consistency distillation (Song et al., arXiv 2303.01469; as LoRA: Luo et al., arXiv 2311.05556) in phases (Wang et
al., arXiv 2405.18407): the student's own few noise levels cut the way from noise to picture into phases, and from
anywhere in a phase it learns to jump to the phase's end. Such a jump is a step of the Euler scheduler that the
model has already, so the student is sampled by that, in few steps and without guidance. diffusers' `LCMScheduler`
does not go with this model: it knows noise up to σ = 15 and tells the network whole times up to 999, where this
model is told ¼·ln σ.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import EulerDiscreteScheduler

from ..sampling import branch_weights
from .adapter import AdapterTraining
from .config import ConsistencyOptions
from .objective import ObjectiveOptions, add_noise, jump, per_example, v_of, weigh, weighted_loss

if TYPE_CHECKING:
    from ..pipeline import HunyuanPortraitPipeline

LEAST_SIGMA = 0.002  # that the network is asked at: Stable Video Diffusion's own
RHO = 7  # Karras' spacing of noise levels


class ConsistencyTraining(AdapterTraining):
    """Distils the pipeline, guided at two scales, into a LoRA for few steps without guidance.

    `pipe` gets the student's scheduler: it is to be run as `sampling` says.

    Args:
        pipe: the teacher.
        objective: of it the face's weight is used; the teacher is asked with all conditions.
        options: the student's steps, and the teacher's guidance.
        rank, alpha: of the LoRA.
    """

    def __init__(
        self,
        pipe: "HunyuanPortraitPipeline",
        objective: ObjectiveOptions | None = None,
        options: ConsistencyOptions | None = None,
        rank: int = 16,
        alpha: int = 16,
    ):
        super().__init__(pipe, objective, rank, alpha)
        self.options = options or ConsistencyOptions()
        pipe.scheduler = EulerDiscreteScheduler.from_config(
            pipe.scheduler.config, sigma_min=self.options.sigma_min, sigma_max=self.options.sigma_max
        )
        self.levels: torch.Tensor
        self.register_buffer("levels", self._noise_levels(), persistent=False)

    @property
    def sampling(self) -> dict[str, Any]:
        """The arguments of the pipeline's call that the student is made for."""
        return {
            "num_inference_steps": self.options.steps,
            "appearance_guidance_scale": 1.0,
            "motion_guidance_scale": 1.0,
        }

    def save(self, folder: Path) -> None:
        """Writes the LoRA, as `load_lora_weights` reads it, and beside it the scheduler to sample with."""
        super().save(folder)
        self.pipe.scheduler.save_pretrained(folder / "scheduler")

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """How far apart two ways to the phase's end come out, one number.

        The one way is the student's jump; the other, taken as the truth, a small step of the guided teacher and
        the student's jump from there.
        """
        with torch.no_grad():
            latents, portrait_latents = self.encode_pictures(batch)
            image_tokens, motion_tokens = self.encode_image(batch), self.encode_motion(batch)
            conditions = portrait_latents, image_tokens, motion_tokens, batch.get("pose_images")
            # A standard-normal draw as a uniform one, to pick a level by.
            uniform = torch.special.ndtr(batch["noise_level"]).clamp(max=1 - 1e-6)
            sigmas, lower, ends = self.levels[(uniform * len(self.levels)).long()].unbind(1)
            noisy = add_noise(latents, batch["noise"], sigmas)

            stepped = jump(noisy, self._ask_teacher(noisy, sigmas, *conditions), sigmas, lower)
            asked = lower.clamp(min=LEAST_SIGMA)  # below it lies the end of the last phase alone
            at_end = jump(stepped, self.predict(stepped, asked, *conditions), asked, ends)
            at_end = torch.where(per_example(lower <= ends, stepped), stepped, at_end)
            share = per_example(ends / sigmas, noisy)
            target = v_of(noisy, (at_end - share * noisy) / (1 - share), sigmas)
        prediction = self.predict(noisy, sigmas, *conditions)
        return weighted_loss(prediction, target, weigh(batch["face_mask"], batch["feature_mask"], self.objective))

    def _ask_teacher(
        self,
        noisy: torch.Tensor,
        sigmas: torch.Tensor,
        portrait_latents: torch.Tensor,
        image_tokens: torch.Tensor,
        motion_tokens: torch.Tensor,
        pose_images: torch.Tensor | None,
    ) -> torch.Tensor:
        """The guided v of the model without the LoRA, as sampling makes it of three branches."""
        scales = self.options.appearance_guidance_scale, self.options.motion_guidance_scale
        branches = [
            (torch.zeros_like(portrait_latents), None, None),
            (portrait_latents, image_tokens, None),
            (portrait_latents, image_tokens, motion_tokens),
        ]
        guided = torch.zeros_like(noisy)
        self.pipe.unet.disable_adapters()
        try:
            for weight, branch in zip(branch_weights(*scales), branches, strict=True):
                if weight != 0:
                    guided += weight * self.predict(noisy, sigmas, *branch, pose_images).float()
        finally:
            self.pipe.unet.enable_adapters()
        return guided

    def _noise_levels(self) -> torch.Tensor:
        """Each σ that the student is trained at, the teacher's next, and the end of its phase: (levels, 3)."""
        self.pipe.scheduler.set_timesteps(self.options.steps)
        ends = self.pipe.scheduler.sigmas.tolist()  # from the highest to 0
        levels = []
        for first, last in itertools.pairwise(ends):
            # The last phase comes down to the least level as sampling does, and then to none at all.
            count = self.options.teacher_steps + (last > 0)
            path = torch.linspace(first ** (1 / RHO), max(last, LEAST_SIGMA) ** (1 / RHO), count) ** RHO
            path = path if last > 0 else torch.cat([path, path.new_zeros(1)])
            path[0], path[-1] = first, last
            levels.append(torch.stack([path[:-1], path[1:], torch.full_like(path[1:], last)], dim=1))
        return torch.cat(levels)
