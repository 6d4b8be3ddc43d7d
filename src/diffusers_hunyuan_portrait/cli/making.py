"""What `animate` and `batch` share: a model that is loaded as the options say, and a video that is made by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..animation import animate
from ..blending import check_blend
from ..errors import UserError
from ..face import Detector, check_choice, check_crop, load_detector
from ..face.skeletons import PoseEstimator
from ..hub.dwpose import load_pose_estimator
from ..loading import (
    check_compression,
    check_offload,
    check_settings,
    choose_device,
    choose_dtype,
    compress,
    load_lora,
    load_pipeline,
)
from ..media import check_output, parse_colour, read_image
from ..media.images import Colour
from ..motion import SUFFIX as MOTION_SUFFIX
from ..motion import DrivingMotion, check_head
from ..pipeline import HunyuanPortraitPipeline, check_pose_settings
from ..poses import check_pose
from ..progress import Progress
from ..provenance import check_frame_size, find_networks, signature_of_files
from ..results import check_beside
from ..sampling import Ranks, check_solver, make_solver
from .display import StageProgress, ask_to_accept, console, in_megabytes, is_on_terminal
from .launched import joined
from .options import Stretch, parse_scale

WITHOUT_PROVENANCE = (
    "the video will not say that it is generated. Who sees somebody in it may take it for real, to that person's "
    "harm; so do not leave this out of pictures of real people."
)


@dataclass(frozen=True)
class Model:
    """A model to load, and how; the fields are the options of these names."""

    model: str
    accept_licences: bool
    detector: str
    detector_path: Path | None
    device: torch.device
    dtype: str
    offload: str
    lora: str | None
    weights: str
    solver: str
    compile: bool
    pose: str
    pose_path: Path | None = None

    @classmethod
    def of_options(
        cls, model: str, *, device: str, weights: str, solver: str, pose: str = "none", **others: Any
    ) -> "Model":
        """Checks what can be without loading it.

        Raises:
            UserError: an option is wrong.
        """
        check_compression(weights)
        if solver:
            check_solver(solver)
        check_pose(pose)
        return cls(model=model, device=choose_device(device), weights=weights, solver=solver, pose=pose, **others)


@contextmanager
def loaded(model: Model) -> Iterator[tuple[HunyuanPortraitPipeline, Detector]]:
    """The pipeline and what finds faces, on all devices that the run was started with."""
    with joined(model.device) as (device, shared):
        dtype = choose_dtype(model.dtype, device)
        check_offload(model.offload, device)
        finder = load_detector(model.detector, device=device, path=model.detector_path)
        with StageProgress() as progress, Ranks(shared=shared).first_goes_first():  # it may fetch and convert
            pipe = load_pipeline(
                model.model,
                device,
                dtype,
                model.offload,
                accept_licences=model.accept_licences or (ask_to_accept if is_on_terminal() else False),
                on_progress=in_megabytes(progress),
            )
        if shared:
            pipe.share_work()
        if model.lora is not None:
            load_lora(pipe, model.lora)
        compress(pipe, model.weights)
        if model.solver:
            pipe.scheduler = make_solver(model.solver, pipe.scheduler)
        if model.compile:
            pipe.unet.compile_repeated_blocks(fullgraph=True)
        console.print(f"Faces by {finder.name}, on {device} in {pipe.unet.dtype}.")
        yield pipe, finder


def load_estimator(model: Model) -> PoseEstimator | None:
    """What finds key points, where the options want skeletons; it may be fetched."""
    with StageProgress() as progress:
        return load_pose_estimator(
            model.pose, device=model.device, path=model.pose_path, on_progress=in_megabytes(progress)
        )


@dataclass(frozen=True)
class Video:
    """A video to make."""

    portrait: Path
    driving: Path
    output: Path
    background: Colour
    stretch: Stretch
    seed: int | None
    pose: str
    settings: dict[str, Any]  # further arguments of `animation.animate`

    @classmethod
    def of_options(
        cls,
        portrait: Path,
        driving: Path,
        output: Path,
        *,
        start: str,
        end: str | None,
        fps: str | None,
        background: str,
        seed: int | None,
        steps: int,
        portrait_face: str,
        driving_face: str,
        crop: str,
        head: str,
        head_scale: float,
        expression_only: bool,
        pose_eyes: bool,
        appearance_guidance_scale: str,
        motion_guidance_scale: str,
        guidance_interval: str | None,
        loop: int,
        boomerang: bool,
        crop_only: bool,
        blend: str,
        match_colour: bool,
        codec: str | None,
        quality: int | None,
        compare: Path | None,
        preview: Path | None,
        certificate: Path | None,
        key: Path | None,
        no_provenance: bool,
        watermark: bool,
        detect_every: int,
        smooth: bool,
        pose: str = "none",
        **run: Any,
    ) -> "Video":
        """From the words of the options, checked as far as can be without opening the files.

        Raises:
            UserError: one is wrong.
        """
        check_output(output, (portrait, driving), codec, quality)
        check_beside(
            compare, preview, (portrait, driving, output), has_pictures=driving.suffix.lower() != MOTION_SUFFIX
        )
        check_blend(blend, match_colour, crop_only=crop_only)
        if watermark:
            find_networks()
        if expression_only:
            if (head, head_scale, crop) != ("absolute", 1.0, "first"):
                raise UserError("--expression-only settles --head, --head-scale and --crop; leave them out.")
            head, head_scale, crop = "relative", 0.0, "each"
        check_crop(crop)
        check_head(head, head_scale)
        check_pose_settings(pose, pose_eyes, head, head_scale)
        check_choice(portrait_face)
        check_choice(driving_face)
        interval = None if guidance_interval is None else parse_scale(guidance_interval, "--guidance-interval")
        if isinstance(interval, float):
            raise UserError(f"--guidance-interval is {guidance_interval!r}; it must be two numbers as LOW:HIGH.")
        run |= {
            "num_inference_steps": steps,
            "appearance_guidance_scale": parse_scale(appearance_guidance_scale, "--appearance-guidance-scale"),
            "motion_guidance_scale": parse_scale(motion_guidance_scale, "--motion-guidance-scale"),
            "guidance_interval": interval,
        }
        check_settings(**run)
        following = {
            "portrait_face": portrait_face,
            "driving_face": driving_face,
            "crop": crop,
            "head": head,
            "head_scale": head_scale,
            "pose_eyes": pose_eyes,
            "detect_every": detect_every,
            "smooth": smooth,
        }
        stretch, behind = Stretch.parse(start, end, fps), parse_colour(background)
        made: dict[str, Any] = {
            "loop": loop,
            "boomerang": boomerang,
            "crop_only": crop_only,
            "blend": blend,
            "match_colour": match_colour,
            "codec": codec,
            "quality": quality,
            "compare": compare,
            "preview": preview,
            "provenance": not no_provenance,
            "watermark": watermark,
        }
        if no_provenance:
            console.print(f"[yellow]Warning:[/] {WITHOUT_PROVENANCE}", soft_wrap=True)
        elif certificate is not None or key is not None:
            if certificate is None or key is None:
                raise UserError("A certificate signs with its key; give --certificate and --key, or neither.")
            made["signature"] = signature_of_files(certificate, key)
        return cls(portrait, driving, output, behind, stretch, seed, pose, run | following | made)

    def open(self) -> tuple[Any, Any]:
        """Portrait and driving clip, or motion.

        Raises:
            UserError: one cannot be read, the frames would be too small for a watermark, or a motion has no key
                points where they are wanted.
        """
        picture = read_image(self.portrait, self.background)
        if self.settings["watermark"] and not self.settings["crop_only"]:
            check_frame_size(*picture.shape[:2])
        driving = self.stretch.open(self.driving)
        if self.pose != "none" and isinstance(driving, DrivingMotion):
            driving.check_keypoints()
        return picture, driving

    def make(
        self,
        pipe: HunyuanPortraitPipeline,
        detector: Detector,
        picture: Any,
        driving: Any,
        model: str,
        on_progress: Progress,
        **run: Any,
    ) -> int:
        """Makes it of what `open` gave by the model of that name; gives the seed.

        Args:
            run: further arguments of `animation.animate`, such as a pose or a callback.
        """
        seed = pipe.ranks.hand_out(lambda: torch.seed() % 2**32) if self.seed is None else self.seed
        animate(
            pipe,
            picture,
            driving,
            self.output,
            detector=detector,
            on_progress=on_progress,
            generator=torch.Generator("cpu").manual_seed(seed),
            model_name=Path(model).name if Path(model).exists() else model,
            portrait_file=self.portrait,
            **self.settings,
            **run,
        )
        return seed


def make_showing(
    video: Video,
    pipe: HunyuanPortraitPipeline,
    detector: Detector,
    picture: Any,
    driving: Any,
    model: str,
    estimator: PoseEstimator | None,
) -> None:
    """Makes a video as `Video.make` does, and shows how far it is and what was written."""
    with StageProgress() as progress:
        seed = video.make(pipe, detector, picture, driving, model, progress, pose=estimator or "none")
    console.print(f"Wrote {video.output}, seed {seed}", soft_wrap=True, markup=False)


# Options of `animate` that say what is loaded, which is once for many videos.
OF_THE_MODEL = set(Model.__dataclass_fields__)
