"""`HunyuanPortraitPipeline`: from a portrait and a driving clip, or from ready conditions, to video frames."""

import functools
import inspect
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKLTemporalDecoder, DiffusionPipeline, ModelMixin, SchedulerMixin
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import BaseOutput, logging
from diffusers.utils.torch_utils import randn_tensor

from .conditions import EASING, PortraitConditions, ease_back, fade
from .errors import UserError
from .limits import check_frames
from .lora import HunyuanPortraitLoraLoaderMixin
from .models import HunyuanPortraitUNet, IMAdapter, MotionExtractor, PoseGuider
from .models.precision import Float32Weights
from .motion import DrivingMotion, Rows, check_head, fingerprint
from .persistence import PersistenceMixin
from .poses import check_pose
from .progress import Progress, no_progress
from .sampling import (
    BranchWeights,
    ClipLatents,
    DeepFeatures,
    Ranks,
    Window,
    branch_weights,
    bring,
    guidance_schedule,
    plan_windows,
)

if TYPE_CHECKING:
    import torch.distributed as dist

    from .face import Chooser, Detector, IdNetwork
    from .face.skeletons import PoseEstimator

logger = logging.get_logger(__name__)

OUTPUT_TYPES = ("pil", "np", "pt", "latent")
MOTION_CHUNK = 25  # frames whose motion intensity is taken together; the released weights were trained so
PAD_FRAMES = 15  # at each end of a clip, generated and dropped
# The latents of a clip with more frames wait in the host's memory, and a GPU has only those it works on.
RESIDENT_FRAMES = 64
# Beyond these no machine has the memory, and a slip of the keyboard would have the system end the process.
MAX_SIDE = 4096  # pixels
# The least and the most of arguments of a run that are counts.
LIMITS: dict[str, tuple[int, int | None]] = {
    "num_inference_steps": (1, 10_000),
    "cache_interval": (1, None),
    "window_size": (1, 1024),
    "window_overlap": (0, None),
    "window_shift": (0, None),
    "decode_chunk_size": (1, None),
}

Guidance = float | tuple[float, float]


@dataclass
class HunyuanPortraitPipelineOutput(BaseOutput):
    """`frames`, as `output_type` says.

    "pil": a list with one list of PIL images; "np": (1, F, H, W, 3) in [0, 1]; "pt": (1, F, 3, H, W) in [0, 1];
    all without the padding. "latent": (1, F, 4, h, w) with the padding, as `decode_frames` takes it.
    """

    frames: list[list[PIL.Image.Image]] | np.ndarray | torch.Tensor


class Branch(NamedTuple):
    """What one branch of guidance is given; `None` is left out of its attention."""

    name: str
    weight: float
    image_latents: torch.Tensor  # (1, 1, 4, h, w)
    image_tokens: torch.Tensor | None
    motion_tokens: torch.Tensor | None  # (1, window, M, C)


class _RunInputs(NamedTuple):
    """What stays the same over a run."""

    conditions: PortraitConditions
    image_latents: torch.Tensor  # (1, 1, 4, h, w)
    image_tokens: torch.Tensor  # (1, S, C)
    black_pose: torch.Tensor | None  # (1, 1, C0, h, w), where no poses are given
    added_time_ids: torch.Tensor  # (1, 3)
    features: DeepFeatures | None = None  # where some are kept from step to step
    motion_scale: torch.Tensor | None = None  # where it is not 1


class _Step(NamedTuple):
    """One step of a run."""

    number: int
    whole: int  # the last step that ran the whole UNet; features are kept from then on
    timestep: torch.Tensor
    weights: BranchWeights


class HunyuanPortraitPipeline(PersistenceMixin, DiffusionPipeline, HunyuanPortraitLoraLoaderMixin):
    """Animates a portrait with the motion of the face in a driving clip (HunyuanPortrait, arXiv 2503.18860).

    Args:
        im_adapter: portrait and identity to image tokens.
        motion_extractor: face crops to motion tokens.
        pose_guider: pose pictures to features.
        unet: the denoising network.
        vae: Stable Video Diffusion's autoencoder.
        scheduler: any scheduler that predicts v; the released weights go with SVD's Euler scheduler.
        id_encoder: optional, from (B, 3, 112, 112) to (B, 512). Without it the ONNX model that conversion
            stores beside the components is used, where there is one.
        resolution: side of the pictures made, unless `height` and `width` say otherwise.
    """

    model_cpu_offload_seq = "motion_extractor->id_encoder->im_adapter->pose_guider->unet->vae"
    _optional_components = ["id_encoder"]  # noqa: RUF012
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    def __init__(
        self,
        im_adapter: IMAdapter,
        motion_extractor: MotionExtractor,
        pose_guider: PoseGuider,
        unet: HunyuanPortraitUNet,
        vae: AutoencoderKLTemporalDecoder,
        scheduler: SchedulerMixin,
        id_encoder: ModelMixin | None = None,
        resolution: int = 512,
    ):
        super().__init__()
        self.register_modules(
            im_adapter=im_adapter,
            motion_extractor=motion_extractor,
            pose_guider=pose_guider,
            unet=unet,
            vae=vae,
            scheduler=scheduler,
            id_encoder=id_encoder,
        )
        self.register_to_config(resolution=resolution)
        for network in (im_adapter, motion_extractor, pose_guider, unet, vae, id_encoder):
            if network is not None:
                network.eval()
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1) if vae is not None else 8
        self._interrupt = False
        self._num_timesteps = 0
        self._ranks = Ranks()
        self._told_of_skeletons = False

    @property
    def interrupt(self) -> bool:
        """Set to stop: looked at before every call of the UNet and the VAE. A new call resets it."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, value: bool) -> None:
        self._interrupt = value

    @property
    def num_timesteps(self) -> int:
        """Steps of the last run."""
        return self._num_timesteps

    @property
    def ranks(self) -> Ranks:
        """The processes that share a run; see `share_work`."""
        return self._ranks

    def share_work(self, group: "dist.ProcessGroup | None" = None) -> None:
        """Shares every run among the processes of a `torch.distributed` group, each with this model loaded.

        The windows of a step, and their branches where there are few, are divided among them, and their
        predictions added up once a step; decoding is divided too. All of them make the same calls with the same
        arguments, and get the same frames. The first of them reads files and finds faces.

        Args:
            group: the default one if none is named. Beside "nccl" for their GPUs it needs "gloo" for their CPUs:
                `torch.distributed.init_process_group("cpu:gloo,cuda:nccl")`.
        """
        self._ranks = Ranks(group, shared=True)

    def enable_group_offload(self, *args: Any, **kwargs: Any) -> None:
        """diffusers' own, made to reach the VAE.

        Its hooks for blocks sit on a network's `forward`, which neither encoding nor decoding passes through,
        unless the parts that they do call are named.
        """
        self.vae._group_offload_block_modules = ["encoder", "quant_conv", "decoder"]
        super().enable_group_offload(*args, **kwargs)

    # -- The run ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        image: Any = None,
        driving_video: Any = None,
        *,
        conditions: PortraitConditions | Mapping[str, Any] | None = None,
        height: int | None = None,
        width: int | None = None,
        detector: "Detector | str" = "auto",
        num_inference_steps: int = 25,
        appearance_guidance_scale: Guidance = 2.0,
        motion_guidance_scale: Guidance = 2.0,
        guidance_interval: tuple[float, float] | None = None,
        motion_scale: float = 1.0,
        cache_interval: int = 1,
        window_size: int = 25,
        window_overlap: int = 3,
        window_shift: int = 3,
        strength: float = 1.0,
        fps: float = 12.5,
        motion_bucket_id: int = 0,
        noise_aug_strength: float = 0.0,
        decode_chunk_size: int = 8,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[["HunyuanPortraitPipeline", int, torch.Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        on_progress: Progress | None = None,
    ) -> HunyuanPortraitPipelineOutput | tuple:
        """Makes the video.

        Args:
            image: the portrait: PIL image, (H, W, 3) uint8 array, or path.
            driving_video: path, list of PIL images, or (F, H, W, 3) uint8 array.
            conditions: instead of the two, what `prepare_conditions` made of them, or a dict of the same fields.
            height, width: size of the pictures, multiples of 8; the config's `resolution` by default.
            detector: what finds the faces: a name for `face.load_detector`, or any object with its `detect`.
            num_inference_steps: denoising steps.
            appearance_guidance_scale: how strongly the portrait is followed; (first step, last step) changes
                linearly. With both scales equal a step takes two UNet calls a window, with both 1 one.
            motion_guidance_scale: the same for the driving motion.
            guidance_interval: lowest and highest σ at which there is guidance; at others both scales are 1, which
                takes one UNet call a window. Changes the picture; `None` has guidance throughout.
            motion_scale: what every attention to the motion tokens is multiplied by: below 1 the driving motion
                shows less, above 1 more, to about 1.5; 0 leaves it out.
            cache_interval: steps from one run of the whole UNet to the next; in those between only its outermost
                blocks are run, and what the inner ones gave is kept, 5 MB a frame and branch at 512×512 in half
                precision. Changes the picture; 1 keeps nothing.
            window_size: frames the UNet sees at a time.
            window_overlap: frames that neighbouring windows share; less than `window_size`.
            window_shift: frames the windows move at each step.
            strength: the share of the steps that are run, which are the last; below 1, they start from a portrait
                less noised.
            fps, motion_bucket_id: what Stable Video Diffusion is told of the clip.
            noise_aug_strength: noise added to the portrait that fills the image-latent channels.
            decode_chunk_size: frames the VAE decodes at a time. It sees them as one clip, so another number
                gives slightly other pictures; 8 is what the released weights are shown with.
            generator: makes the run repeatable.
            latents: unit noise, (1, F, 4, h, w), instead of drawing it.
            output_type: "pil", "np", "pt" or "latent"; see `HunyuanPortraitPipelineOutput`.
            return_dict: `False` gives a plain tuple.
            callback_on_step_end: called as diffusers does, `(pipe, step, timestep, tensors) -> tensors`.
            callback_on_step_end_tensor_inputs: which tensors it is given; only "latents".
            on_progress: told how far the run is; a progress bar is shown where it is `None`.

        Raises:
            UserError: an argument is out of range, or no face was found.
        """
        # 0. Check everything that can be checked before any work
        self.check_inputs(
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            appearance_guidance_scale=appearance_guidance_scale,
            motion_guidance_scale=motion_guidance_scale,
            guidance_interval=guidance_interval,
            motion_scale=motion_scale,
            cache_interval=cache_interval,
            window_size=window_size,
            window_overlap=window_overlap,
            window_shift=window_shift,
            strength=strength,
            fps=fps,
            noise_aug_strength=noise_aug_strength,
            decode_chunk_size=decode_chunk_size,
            output_type=output_type,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
        )
        self._interrupt = False

        # 1. From image and clip to conditions, unless they are given
        if conditions is None:
            if image is None or driving_video is None:
                raise UserError("Give `image` and `driving_video`, or ready `conditions`.")
            conditions = self.prepare_conditions(
                image, driving_video, height=height, width=width, detector=detector, on_progress=on_progress
            )
        elif image is not None or driving_video is not None:
            raise UserError("Give either `image` and `driving_video`, or `conditions`, not both.")
        elif isinstance(conditions, Mapping):
            conditions = PortraitConditions.from_dict(conditions)
        self._check_conditions(conditions, height, width)
        device, num_frames = self._execution_device, conditions.num_frames
        if generator is None and self.ranks.shared:  # what is random must be the same in all processes
            generator = torch.Generator().manual_seed(self.ranks.hand_out(torch.seed))

        # 2. Encode the portrait: as image latents (unscaled), as start of the sampling (scaled), as tokens
        shape = (1, num_frames, self.vae.config.latent_channels, *self._latent_size(conditions.portrait))
        noise = self._prepare_noise(shape, latents, generator)
        if self.interrupt:  # while the faces were looked for: there is no whole step, so there are no frames
            return self._finish(noise[:, :0], conditions, output_type, decode_chunk_size, on_progress, return_dict)
        image_latents, start = self._encode_portrait(conditions.portrait, noise_aug_strength, generator)
        image_tokens = self.encode_image(conditions.dino_image, conditions.id_embedding).to(self.unet.dtype)
        black_pose = self._encode_black_pose(conditions)
        added_time_ids = torch.tensor(
            [[fps, motion_bucket_id, noise_aug_strength]], dtype=self.unet.dtype, device=device
        )

        # 3. Schedule: the steps that `strength` leaves, and the guidance of each
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        skipped = (num_inference_steps - int(num_inference_steps * strength)) * self.scheduler.order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(skipped)
        timesteps = self.scheduler.timesteps[skipped:]
        self._num_timesteps = len(timesteps)
        appearance_scales = guidance_schedule(appearance_guidance_scale, len(timesteps))
        motion_scales = guidance_schedule(motion_guidance_scale, len(timesteps))
        is_guided = self._guided_steps(guidance_interval, skipped, len(timesteps))

        # 4. Start from the portrait under noise, in every frame
        first = timesteps[:1].to(noise.device)
        noised = self.scheduler.add_noise(start.to(noise.device), noise, first)
        clip = ClipLatents(noised, self.scheduler, device, self.ranks)
        place = noise.device  # the host, for a long clip
        del noise, noised
        # Schedulers want to have scaled an input before they step.
        self.scheduler.scale_model_input(clip.latents[:, :1], timesteps[0])
        step_options = self._step_options(generator)
        plan = functools.partial(plan_windows, num_frames, window_size, window_overlap, window_shift)

        # 5. Denoise: at each step, the mean of all windows' predictions takes one scheduler step
        features = DeepFeatures(place, device) if cache_interval > 1 else None
        motion_factor = (
            None if motion_scale == 1 else torch.tensor(motion_scale, dtype=self.unet.dtype, device=device)
        )
        inputs = _RunInputs(
            conditions, image_latents, image_tokens, black_pose, added_time_ids, features, motion_factor
        )
        with self._counter(on_progress, "denoise", len(timesteps) * len(plan(0))) as count:
            for step, timestep in enumerate(timesteps):
                scales = (appearance_scales[step], motion_scales[step]) if is_guided[step] else (1.0, 1.0)
                windows, weights = plan(step), branch_weights(*scales)
                whole_step = step // cache_interval * cache_interval
                self._predict(clip, inputs, windows, _Step(step, whole_step, timestep, weights), count)
                if self._agree_on_interrupt():
                    break  # the latents stay those of the last whole step
                # A callback may keep the latents that it was given; where there is none, no copy is spent.
                clip.step(windows, timestep, in_place=callback_on_step_end is None, **step_options)
                if callback_on_step_end is not None:
                    tensors = {"latents": clip.latents} if "latents" in callback_on_step_end_tensor_inputs else {}
                    changed = callback_on_step_end(self, step, timestep, tensors) or {}
                    clip.latents = changed.pop("latents", clip.latents)
        latents = clip.latents

        # 6. Decode, unless latents are asked for
        return self._finish(latents, conditions, output_type, decode_chunk_size, on_progress, return_dict)

    def _finish(
        self,
        latents: torch.Tensor,
        conditions: PortraitConditions,
        output_type: str,
        decode_chunk_size: int,
        on_progress: Progress | None,
        return_dict: bool,
    ) -> HunyuanPortraitPipelineOutput | tuple:
        """The latents as `output_type` says; of an interrupted run, those pictures that were decoded."""
        frames: Any = latents
        if output_type != "latent":
            chunks = self.decode_frames(latents, decode_chunk_size, conditions.pad_frames, on_progress=on_progress)
            frames = _collect(chunks, output_type, conditions.portrait.shape[-2:])
        self.maybe_free_model_hooks()
        return HunyuanPortraitPipelineOutput(frames=frames) if return_dict else (frames,)

    def _predict(
        self,
        clip: ClipLatents,
        inputs: "_RunInputs",
        windows: Sequence[Window],
        step: "_Step",
        count: Callable[[], Any],
    ) -> None:
        """Adds this process's part of a step's predictions to `clip`, as far as the run is not interrupted."""
        names = self._branches_needed(step.weights)
        part = self.ranks.part(len(windows) * len(names))
        for index, window in enumerate(windows):
            start = index * len(names)
            own = names[max(part.start - start, 0) : max(part.stop - start, 0)]
            if own:
                sample = self.scheduler.scale_model_input(clip.read(window), step.timestep).to(self.unet.dtype)
                branches = self._branches(own, step.weights, inputs, window)
                prediction = self._predict_window(sample, branches, inputs, step, window)
                if prediction is None:
                    return
                clip.add(prediction, window)
            count()

    def _predict_window(
        self,
        sample: torch.Tensor,
        branches: Sequence[Branch],
        inputs: "_RunInputs",
        step: "_Step",
        window: Window,
    ) -> torch.Tensor | None:
        """The guided prediction of one window in float32, or `None` where the run is interrupted."""
        pose_features = inputs.black_pose
        if pose_features is None:
            pose_features = self._encode_pose(inputs.conditions, window)
        guided = torch.zeros_like(sample, dtype=torch.float32)
        for branch in branches:
            if self.interrupt:
                return None
            image_latents = branch.image_latents.expand(-1, sample.shape[1], -1, -1, -1)
            features, kept = inputs.features, None
            if features is not None and step.number != step.whole:
                kept = features.read(branch.name, window, since=step.whole)
            prediction, *deep = self.unet(
                torch.cat([sample, image_latents], dim=2),
                step.timestep.to(self.unet.dtype),
                branch.image_tokens,
                inputs.added_time_ids,
                motion_hidden_states=branch.motion_tokens,
                pose_features=pose_features,
                deep_features=kept,
                return_deep_features=features is not None,
                motion_scale=None if branch.motion_tokens is None else inputs.motion_scale,
                return_dict=False,
            )
            if features is not None and kept is None:
                features.write(branch.name, window, step.number, deep[0])
            guided += branch.weight * prediction.float()
        return guided

    def _branches_needed(self, weights: BranchWeights) -> list[str]:
        """The names of the branches of guidance that have a weight."""
        return [name for name, weight in weights._asdict().items() if weight != 0]

    def _branches(
        self, names: Sequence[str], weights: BranchWeights, inputs: "_RunInputs", window: Window
    ) -> list[Branch]:
        """What the branches of these names are given.

        What is zero in a branch is left out of it: an attention over zero tokens gives zero, as its projections
        have no bias.
        """
        given: dict[str, tuple] = {
            "unconditional": (torch.zeros_like(inputs.image_latents), None, None),
            "appearance": (inputs.image_latents, inputs.image_tokens, None),
        }
        if "full" in names:
            motion_tokens = self._pick(inputs.conditions.motion_tokens, window)
            given["full"] = (inputs.image_latents, inputs.image_tokens, motion_tokens)
        return [Branch(name, getattr(weights, name), *given[name]) for name in names]

    def _agree_on_interrupt(self) -> bool:
        """Whether the run is interrupted in any of the processes that share it; then it is in all of them."""
        self.interrupt = self.ranks.agree(self.interrupt)
        return self.interrupt

    # -- Conditions ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare_conditions(
        self,
        image: Any,
        driving_video: Any,
        *,
        height: int | None = None,
        width: int | None = None,
        detector: "Detector | str" = "auto",
        detect_every: int = 1,
        portrait_face: Any = "largest",
        driving_face: Any = "largest",
        smooth: bool = False,
        crop: str = "first",
        head: str = "absolute",
        head_scale: float = 1.0,
        pose: "PoseEstimator | str" = "none",
        pose_eyes: bool = False,
        pad_frames: int = PAD_FRAMES,
        on_progress: Progress | None = None,
    ) -> PortraitConditions:
        """Finds the faces in `image` and `driving_video` and encodes what they show.

        Frames are read one at a time, and only their motion tokens are kept. One person's face is followed. Where
        it is missed for a few frames, it is taken as between those before and after; in a longer gap the last
        motion seen is held, and what follows is gone over to smoothly. A warning names both. Where `interrupt` is
        set meanwhile, it ends at once, with the frames seen till then.

        Args:
            image, driving_video, height, width, detector, on_progress: as in the call. Instead of the clip there
                may be the motion that `prepare_motion` has read in it; how its face is followed is settled then.
            detect_every: frames of the clip from one full search for faces to the next; through those between
                them the face is followed, which is faster, and moves its points by small parts of a pixel.
            portrait_face, driving_face: which face is meant where there are several, in the clip in the first
                frame that shows it: "largest", "left", "right", "centre", a number counted from the left, "X,Y"
                for that nearest to a point in pixels, or a picture of the person (PIL image, array or path), who
                is known by the model's ID encoder.
            smooth: steady boxes and points over neighbouring frames. The released weights have seen them as found.
            crop: where the head's pose is read: "first", where the head was first, as the released weights have
                seen it; or "follow", about where it is, so that a head that crosses the picture stays in view, and
                its place is told no more; "each", the same from frame to frame, so that place and size of the head
                are not told at all.
            head: whose angles the head is at: "absolute", the driver's; or "relative", the portrait's own, and
                what the driver's head turns from its first frame on.
            head_scale: how far the head turns: 1 as the driver's; 0 not at all, which is straight at the camera
                with "absolute", and as in the portrait with "relative".
            pose: what the pose guider is shown: "none", black pictures, as the released weights have seen;
                "dwpose", the driver's skeletons, moved and scaled to fit the portrait, for weights that were
                trained with them; or what finds their key points, as `hub.dwpose.load_pose_estimator` gives it.
            pose_eyes: keep the eyes in the skeletons, for a clip of the portrait's own person; another's would
                change the face's shape.
            pad_frames: frames added at each end, to fade the motion in and out, and dropped after decoding.

        Raises:
            NoFaceError: there is no face, or not the one chosen, in the portrait, or in none of the frames.
            UnreadableMediaError: a file cannot be read.
            UserError: another argument is wrong.
        """
        self._interrupt = False
        conditions = self.ranks.hand_out(
            lambda: self._prepare_conditions(
                image,
                driving_video,
                size=(height or self.config.resolution, width or self.config.resolution),
                detector=detector,
                portrait_face=portrait_face,
                head=head,
                head_scale=head_scale,
                pose=pose,
                pose_eyes=pose_eyes,
                following={
                    "detect_every": detect_every,
                    "which": driving_face,
                    "smooth": smooth,
                    "crop": crop,
                },
                pad_frames=pad_frames,
                report=on_progress or no_progress,
            )
        )
        self._agree_on_interrupt()
        return conditions

    @torch.no_grad()
    def prepare_motion(
        self,
        driving_video: Any,
        *,
        detector: "Detector | str" = "auto",
        detect_every: int = 1,
        driving_face: Any = "largest",
        smooth: bool = False,
        crop: str = "first",
        pose: "PoseEstimator | str" = "none",
        on_progress: Progress | None = None,
    ) -> DrivingMotion:
        """Reads the motion of the face in a clip, to be stored, changed, or used for many portraits.

        Args and raises are those of `prepare_conditions`; with a `pose`, the motion has the driver's key points.
        """
        self._interrupt = False
        following = {"detect_every": detect_every, "which": driving_face, "smooth": smooth, "crop": crop}
        motion = self.ranks.hand_out(
            lambda: self._read_motion(
                _open_clip(driving_video),
                detector,
                following,
                on_progress or no_progress,
                estimator=_pose_estimator(pose, self._execution_device),
            )
        )
        self._agree_on_interrupt()
        return motion

    def _prepare_conditions(
        self,
        image: Any,
        driving_video: Any,
        *,
        size: tuple[int, int],
        detector: "Detector | str",
        portrait_face: Any,
        head: str,
        head_scale: float,
        pose: "PoseEstimator | str",
        pose_eyes: bool,
        following: Mapping[str, Any],
        pad_frames: int,
        report: Progress,
    ) -> PortraitConditions:
        with _rooms_needed():  # here, so that ready conditions need neither
            from . import face, media

        self._check_size(*size)
        check_head(head, head_scale)
        check_pose_settings(pose, pose_eyes, head, head_scale)
        driving = self._open_driving(driving_video, pose)
        estimator = _pose_estimator(pose, self._execution_device)
        if isinstance(detector, str):
            detector = face.load_detector(detector)
        picture = media.read_image(image)
        id_network = self._id_network()
        choose = self._chooser(portrait_face, detector, id_network)
        cut = face.crop_portrait(picture, detector, dino_size=self.im_adapter.config.image_size, choose=choose)
        portrait = face.cut_portrait(picture, cut.box, *size)  # (H, W, 3), uint8
        portrait_keypoints = None
        if estimator is not None:
            portrait_keypoints = estimator.estimate(picture, cut.face)
            face.skeletons.check_portrait(portrait_keypoints)
        motion = driving
        if not isinstance(motion, DrivingMotion):
            motion = self._read_motion(driving, detector, following, report, id_network, estimator)
        keypoints = None
        if portrait_keypoints is not None:
            keypoints = self._fit_skeletons(motion, portrait_keypoints, cut.box, size, pose_eyes)
            pad = [keypoints[:1]] * pad_frames, [keypoints[-1:]] * pad_frames
            keypoints = torch.cat([*pad[0], keypoints, *pad[1]])[None]  # (1, frames, points, 3)
        at_rest = self._read_rotation(picture, cut.box) if head == "relative" else None
        motion = motion.with_head(head, head_scale, at_rest)
        tokens = self._refine(motion.expression, motion.rotation, motion.levels, motion.chunk_size, pad_frames)
        ease_back(tokens[0, pad_frames : tokens.shape[1] - pad_frames], motion.held.tolist())
        return PortraitConditions(
            portrait=torch.from_numpy(portrait).permute(2, 0, 1)[None].float() / 127.5 - 1,
            dino_image=cut.dino_image,
            id_embedding=self._encode_identity(cut.arcface_image, id_network),
            motion_tokens=tokens,
            pad_frames=pad_frames,
            portrait_box=tuple(cut.box),
            pose_keypoints=keypoints,
        )

    def _fit_skeletons(
        self,
        motion: DrivingMotion,
        portrait: np.ndarray,
        box: tuple[int, int, int, int],
        size: tuple[int, int],
        keep_eyes: bool,
    ) -> torch.Tensor:
        """The motion's key points in pixels of the portrait's square, (F, 134, 3), held ones eased back."""
        from .face import skeletons

        if not self._told_of_skeletons:
            logger.warning(
                "The released weights have seen black pose pictures only: skeletons are for weights that were "
                "trained with them."
            )
            self._told_of_skeletons = True
        assert motion.keypoints is not None
        fitted = skeletons.fit_to_portrait(motion.keypoints.numpy(), portrait, box, *size, keep_eyes=keep_eyes)
        skeletons.ease_back(fitted, motion.held.tolist(), EASING)
        return torch.from_numpy(fitted)

    def _open_driving(self, driving_video: Any, pose: "PoseEstimator | str" = "none") -> Any:
        """The clip, or the motion of one, before any work."""
        if not isinstance(driving_video, DrivingMotion):
            return _open_clip(driving_video)
        if driving_video.encoders and driving_video.encoders != fingerprint(self.motion_extractor):
            raise UserError("The driving motion was read by another model's encoders; extract it by this one.")
        if pose != "none":
            driving_video.check_keypoints()
        check_frames(len(driving_video))
        return driving_video

    def _read_motion(
        self,
        clip: Any,
        detector: "Detector | str",
        following: Mapping[str, Any],
        report: Progress,
        id_network: "IdNetwork | str | None" = None,
        estimator: "PoseEstimator | None" = None,
    ) -> DrivingMotion:
        """Follows the face through an open clip and describes its motion; `following` says how."""
        with _rooms_needed():
            from . import face, media

        if isinstance(detector, str):
            detector = face.load_detector(detector)
        if id_network is None:
            id_network = self._id_network()
        know = None if isinstance(id_network, str) else functools.partial(face.Person, network=id_network)
        tracker = face.FaceTracker(self._chooser(following["which"], detector, id_network), know)
        every = following["detect_every"]
        gaps = face.Gaps()

        def followed() -> Iterator["face.DrivingFrame"]:
            frames = face.follow_driving(
                media.read_ahead(clip),
                face.FollowingDetector(detector, every) if every != 1 else detector,
                self.motion_extractor.config.image_size,
                tracker=tracker,
                steady=following["smooth"],
                crop=following["crop"],
                estimator=estimator,
            )
            for index, frame in enumerate(frames):
                gaps.note(index, frame)
                report("detect", index + 1, clip.frame_count)
                yield frame
                if self.interrupt:
                    return

        keypoints = Rows()

        def chunks() -> Iterator[tuple]:
            for chunk in face.gather_chunks(followed(), MOTION_CHUNK):
                if chunk.keypoints is not None:
                    keypoints.extend(chunk.keypoints)
                yield chunk.face_crops, chunk.pose_crops, chunk.landmarks

        numbers = self._describe(chunks(), clip.frame_count, report)
        if gaps.report:
            logger.warning(gaps.report)
        return DrivingMotion(
            expression=numbers["expression"],
            rotation=numbers["rotation"],
            translation=numbers["translation"],
            landmarks=numbers["landmarks"],
            levels=numbers["levels"],
            timestamps=torch.from_numpy(media.times_of(clip, range(len(numbers["expression"])))),
            held=torch.tensor(gaps.held, dtype=torch.int64),
            chunk_size=MOTION_CHUNK,
            frame_rate=clip.frame_rate or media.DEFAULT_FRAME_RATE,
            is_variable_rate=clip.is_variable_rate,
            sound=clip.path,
            sound_span=None if not isinstance(clip, media.Excerpt) or clip.is_whole else clip.span,
            keypoints=None if estimator is None else keypoints.tensor,
        )

    def _read_rotation(self, picture: np.ndarray, box: tuple[int, int, int, int]) -> torch.Tensor:
        """The angles, (3,), of the head in the portrait box."""
        from .face import head_crop

        crop = torch.from_numpy(head_crop(picture, box, self.motion_extractor.config.image_size))
        pixels = crop.permute(2, 0, 1)[None].float() / 255
        rotation, _ = self.motion_extractor.read_pose(pixels.to(self._execution_device))
        return rotation[0].float().cpu()

    def _chooser(self, which: Any, detector: "Detector", id_network: "IdNetwork | str") -> "Chooser":
        """What picks a face by what the caller has said of it."""
        from . import face, media

        which = str(which) if isinstance(which, int) else which
        if isinstance(which, str) and face.is_place(which):
            return face.chooser_of_place(which)
        if isinstance(id_network, str):
            raise UserError(f"A person is known by the model's ID encoder. {id_network}")
        return face.chooser_of_person(face.Person.in_picture(media.read_image(which), detector, id_network))

    @torch.no_grad()
    def encode_image(self, dino_image: torch.Tensor, id_embedding: torch.Tensor) -> torch.Tensor:
        """(1, 3, 224, 224), normalised, and (1, 512) to image tokens, (1, 64, 1024)."""
        device = self._execution_device
        return self.im_adapter(dino_image.to(device), id_embedding.to(device)).image_tokens

    @torch.no_grad()
    def encode_motion(
        self,
        face_crops: torch.Tensor,
        pose_crops: torch.Tensor,
        landmarks: torch.Tensor | np.ndarray,
        chunk_size: int = MOTION_CHUNK,
        pad_frames: int = PAD_FRAMES,
    ) -> torch.Tensor:
        """Crops to motion tokens, padding included.

        Args:
            face_crops, pose_crops: (F, 3, 256, 256) in [0, 1].
            landmarks: (F, 5, 2) in pixels of the driving frames, for the intensity.
            chunk_size: frames whose intensity is taken together.
            pad_frames: frames added at each end: the first frame's tokens times i / pad_frames, and the
                last's times 1 - i / pad_frames.

        Returns:
            (1, F + 2 · pad_frames, 64, 1024) on the CPU, in the UNet's type.

        Raises:
            UserError: there are no frames, or not as many of each.
            ValueError: the landmarks have another shape, or are not finite.
        """
        num_frames = len(face_crops)
        if not num_frames == len(pose_crops) == len(landmarks):
            raise UserError(
                "`face_crops`, `pose_crops` and `landmarks` must have as many frames as each other, but have "
                f"{num_frames}, {len(pose_crops)} and {len(landmarks)}."
            )
        parts = [slice(i, i + chunk_size) for i in range(0, num_frames, chunk_size)]
        chunks = ((face_crops[part], pose_crops[part], landmarks[part]) for part in parts)
        numbers = self._describe(chunks, num_frames)
        return self._refine(numbers["expression"], numbers["rotation"], numbers["levels"], chunk_size, pad_frames)

    def _describe(
        self, chunks: Iterable[tuple], expected_frames: int, report: Progress = no_progress
    ) -> dict[str, torch.Tensor]:
        """The numbers that describe the motion in chunks (face crops, pose crops, landmarks), on the CPU.

        They are the tensors of `DrivingMotion` but for its times.
        """
        with _rooms_needed():
            from .face import intensity_levels

        device = self._execution_device
        numbers: defaultdict[str, Rows] = defaultdict(Rows)
        count = 0
        for face_crops, pose_crops, landmarks in chunks:
            seen = self.motion_extractor(face_crops.to(device), pose_crops.to(device))
            described = {
                name: getattr(seen, name).float().cpu() for name in ("expression", "rotation", "translation")
            }
            described["levels"] = torch.tensor([intensity_levels(landmarks)], dtype=torch.int64)
            described["landmarks"] = torch.as_tensor(landmarks, dtype=torch.float32)
            for name, part in described.items():
                numbers[name].extend(part)
            count += len(face_crops)
            report("encode", count, max(expected_frames, count))
        if not count:
            raise UserError("There are no frames to take a motion from.")
        return {name: rows.tensor for name, rows in numbers.items()}

    def _refine(
        self,
        expression: torch.Tensor,
        rotation: torch.Tensor,
        levels: torch.Tensor,
        chunk_size: int,
        pad_frames: int,
    ) -> torch.Tensor:
        """Motion tokens of the numbers that describe a motion, padded; see `encode_motion` for what is given."""
        device, config = self._execution_device, self.motion_extractor.config
        shape = (config.num_memories, config.refined_dim + 6)
        tokens = torch.empty((len(expression) + 2 * pad_frames, *shape), dtype=self.unet.dtype)
        for start, (head_level, expression_level) in zip(
            range(0, len(expression), chunk_size), levels.tolist(), strict=True
        ):
            part = slice(start, start + chunk_size)
            refined = self.motion_extractor(
                expression=expression[part].to(device),
                rotation=rotation[part].to(device),
                head_level=head_level,
                expression_level=expression_level,
            ).motion_tokens
            tokens[pad_frames + start : pad_frames + start + len(refined)] = refined.to(tokens)
        fade(tokens, pad_frames)
        return tokens[None]

    def _id_network(self) -> "IdNetwork | str":
        """What reads an identity, or a sentence on why there is none."""
        if self.id_encoder is not None:
            return self._run_id_encoder
        path = self.id_model_path
        if path is None:
            return "This model has no ID encoder; convert it with --arcface."
        from .face import identity

        try:
            return identity.IdEncoder(path)
        except identity.MissingRuntimeError as error:
            return str(error)

    def _run_id_encoder(self, arcface_image: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(arcface_image).permute(2, 0, 1)[None]
        with torch.no_grad():
            vector = self.id_encoder(pixels.to(self._execution_device, self.id_encoder.dtype))
        vector = vector[0] if isinstance(vector, (tuple, BaseOutput)) else vector
        return torch.nn.functional.normalize(vector.float().cpu())

    def _encode_identity(
        self, arcface_image: np.ndarray, id_network: "IdNetwork | str | None" = None
    ) -> torch.Tensor:
        """The portrait's ID vector, (1, 512) of unit norm; zeros, with a warning, where nothing can make it."""
        id_network = id_network or self._id_network()
        if not isinstance(id_network, str):
            return id_network(arcface_image)
        logger.warning(f"{id_network} Until then the ID vector is zeros, which may cost likeness.")
        return torch.zeros(1, self.im_adapter.config.id_dim)

    # -- Encoding and decoding -------------------------------------------------------------------------------

    def _encode_portrait(
        self, portrait: torch.Tensor, noise_aug_strength: float, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The portrait's latents as (1, 1, 4, h, w): unscaled in the UNet's type, and scaled in float32.

        The VAE encodes in float32 whatever it decodes in, as the released weights were used. The noise
        augmentation goes into the first only.
        """
        pictures = portrait.to(self._execution_device, torch.float32)
        if noise_aug_strength > 0:
            noise = randn_tensor(pictures.shape, generator=generator, device=pictures.device)
            pictures = torch.cat([pictures, pictures + noise_aug_strength * noise])
        with Float32Weights():
            modes = self.vae.encode(pictures).latent_dist.mode()[:, None]  # (1 or 2, 1, 4, h, w)
        return modes[-1:].to(self.unet.dtype), modes[:1] * self.vae.config.scaling_factor

    def _pick(self, motion_tokens: torch.Tensor, window: Window) -> torch.Tensor:
        """The tokens of a window, where and as the UNet takes them; the clip's may stay on the CPU."""
        picked = motion_tokens[:, window.on(motion_tokens.device)]
        return bring(picked, self._execution_device).to(self.unet.dtype)

    def _encode_pose(self, conditions: PortraitConditions, window: Window) -> torch.Tensor:
        """Pose features of a window, (1, window, C, h, w); skeletons are drawn for it and forgotten."""
        pictures, keypoints = conditions.pose_images, conditions.pose_keypoints
        if keypoints is not None:
            height, width = conditions.portrait.shape[-2:]
            return self._guide(self._draw(keypoints[0, window.on(keypoints.device)], height, width))
        assert pictures is not None
        return self._guide(pictures[:, :, window.on(pictures.device)])

    def _draw(self, keypoints: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """(F, 134, 3) to pictures (1, 3, F, height, width) in [0, 1], on the device."""
        with _rooms_needed("Skeletons need", "`pose_images`"):
            from .face.skeletons import draw_skeletons

        drawn = torch.from_numpy(draw_skeletons(keypoints.float().cpu().numpy(), height, width))
        # A quarter of the bytes go to the device.
        return bring(drawn.permute(3, 0, 1, 2)[None].contiguous(), self._execution_device).float() / 255

    def _encode_black_pose(self, conditions: PortraitConditions) -> torch.Tensor | None:
        """The features of a black pose picture, (1, 1, C, h, w), for every frame; `None` where poses are given."""
        if conditions.pose_images is not None or conditions.pose_keypoints is not None:
            return None
        return self._guide(torch.zeros(1, 3, 1, *conditions.portrait.shape[-2:]))

    def _guide(self, pose_images: torch.Tensor) -> torch.Tensor:
        """(1, 3, F, H, W) to pose features, (1, F, C, h, w)."""
        features = self.pose_guider(bring(pose_images, self._execution_device)).sample
        return features.transpose(1, 2).to(self.unet.dtype)

    @torch.no_grad()
    def decode_frames(
        self,
        latents: torch.Tensor,
        decode_chunk_size: int = 8,
        pad_frames: int = 0,
        on_progress: Progress | None = None,
    ) -> Iterator[torch.Tensor]:
        """Decodes latents chunk by chunk.

        Chunks are counted from the first padded frame, as the VAE mixes what is in one; those that hold
        nothing but padding are left out. Decoding stops where `interrupt` is set, as an interrupted run leaves it;
        set it to `False` to decode what such a run gave.

        Args:
            latents: (1, F, 4, h, w), padding included.
            decode_chunk_size: frames decoded at a time.
            pad_frames: frames dropped at each end.
            on_progress: told the frames decoded.

        Yields:
            (n, 3, H, W) in [0, 1], float32, on the device.

        Raises:
            UserError: what comes out is not finite, which a video would show as black.
        """
        first, last = pad_frames, latents.shape[1] - pad_frames
        report = on_progress or no_progress
        starts = self._chunk_starts(latents.shape[1], pad_frames, decode_chunk_size)
        for turn in range(0, len(starts), self.ranks.size):
            if self._agree_on_interrupt():
                break
            for start, pictures in self._decode_turn(
                latents, starts[turn : turn + self.ranks.size], decode_chunk_size
            ):
                if not torch.isfinite(pictures).all():
                    raise UserError(
                        "The networks gave pictures that hold no numbers (NaN): the guidance is too strong, the "
                        f"weights are damaged, or {self.vae.dtype} is too narrow for them; change one of these."
                    )
                kept = pictures[max(first - start, 0) : max(last - start, 0)].float()
                if len(kept):
                    report("decode", min(start + len(pictures), last) - first, last - first)
                    yield (kept / 2 + 0.5).clamp(0, 1)
        self.maybe_free_model_hooks()

    def _chunk_starts(self, num_frames: int, pad_frames: int, size: int) -> list[int]:
        """Where the chunks begin that hold more than padding."""
        return [start for start in range(0, num_frames - pad_frames, size) if start + size > pad_frames]

    def _decode_turn(
        self, latents: torch.Tensor, starts: Sequence[int], size: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Decodes the chunks that begin at `starts`, one in each process, and gives all of them in each."""
        own = starts[min(self.ranks.rank, len(starts) - 1)]
        chunk = latents[0, own : own + size].to(self._execution_device) / self.vae.config.scaling_factor
        pictures = self.vae.decode(chunk.to(self.vae.dtype), num_frames=len(chunk)).sample
        if self.ranks.shared:  # what is gathered must be of one length
            missing = size - len(pictures)
            pictures = torch.cat([pictures, pictures.new_zeros(missing, *pictures.shape[1:])])
        for start, gathered in zip(starts, self.ranks.gather(pictures), strict=False):
            yield start, gathered[: latents.shape[1] - start]

    # -- Small parts -----------------------------------------------------------------------------------------

    def _latent_size(self, portrait: torch.Tensor) -> tuple[int, int]:
        return portrait.shape[-2] // self.vae_scale_factor, portrait.shape[-1] // self.vae_scale_factor

    def _prepare_noise(
        self, shape: tuple[int, ...], latents: torch.Tensor | None, generator: torch.Generator | None
    ) -> torch.Tensor:
        """Unit noise in float32: sampling keeps its latents in it whatever the networks run in.

        That of a long clip is on the host, drawn in parts by a generator of the device.
        """
        device = self._execution_device
        place = torch.device("cpu") if device.type == "cuda" and shape[1] > RESIDENT_FRAMES else device
        if latents is not None:
            if tuple(latents.shape) != shape:
                raise UserError(f"`latents` has shape {tuple(latents.shape)}; {shape} is needed.")
            return latents.to(place, torch.float32)
        if place == device:
            return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        noise = torch.empty(shape)
        for part in noise.split(RESIDENT_FRAMES, dim=1):
            part.copy_(randn_tensor(part.shape, generator=generator, device=device, dtype=torch.float32))
        return noise

    def _guided_steps(self, interval: tuple[float, float] | None, skipped: int, steps: int) -> list[bool]:
        """Of each step that is run whether its σ lies in the interval."""
        if interval is None:
            return [True] * steps
        sigmas = getattr(self.scheduler, "sigmas", None)
        if sigmas is None or len(sigmas) < skipped + steps:
            raise UserError(f"`guidance_interval` needs a scheduler with σ, not {type(self.scheduler).__name__}.")
        lowest, highest = interval
        return [lowest <= sigma <= highest for sigma in sigmas[skipped : skipped + steps].tolist()]

    def _step_options(self, generator: torch.Generator | None) -> dict[str, Any]:
        accepted = inspect.signature(self.scheduler.step).parameters
        return {"generator": generator} if "generator" in accepted else {}

    @contextmanager
    def _counter(self, on_progress: Progress | None, stage: str, total: int) -> Iterator[Callable[[], Any]]:
        """A function to call once for each of `total` parts done; without `on_progress` it moves a bar."""
        if on_progress is None:
            with self.progress_bar(total=total) as bar:
                yield bar.update
        else:
            done = itertools.count(1)
            yield lambda: on_progress(stage, next(done), total)

    # -- Checks ----------------------------------------------------------------------------------------------

    def check_inputs(
        self,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 25,
        appearance_guidance_scale: Guidance = 2.0,
        motion_guidance_scale: Guidance = 2.0,
        guidance_interval: tuple[float, float] | None = None,
        motion_scale: float = 1.0,
        cache_interval: int = 1,
        window_size: int = 25,
        window_overlap: int = 3,
        window_shift: int = 3,
        strength: float = 1.0,
        fps: float = 12.5,
        noise_aug_strength: float = 0.0,
        decode_chunk_size: int = 8,
        output_type: str = "pil",
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        **others: Any,
    ) -> None:
        """Checks the settings of a run, before any work is done.

        Arguments are as in the call; those that need no check are taken and passed over.

        Raises:
            UserError: one of them is out of range; the first found is named with its value.
            TypeError: the call has no such argument.
        """
        unknown = others.keys() - inspect.signature(self.__call__).parameters.keys()
        if unknown:
            raise TypeError(f"The call of the pipeline has no argument {', '.join(sorted(unknown))}.")
        resolution = self.config.resolution
        self._check_size(resolution if height is None else height, resolution if width is None else width)
        counts = {
            "num_inference_steps": num_inference_steps,
            "cache_interval": cache_interval,
            "window_size": window_size,
            "window_overlap": window_overlap,
            "window_shift": window_shift,
            "decode_chunk_size": decode_chunk_size,
        }
        for name, value in counts.items():
            least, most = LIMITS[name]
            if value < least:
                raise UserError(f"`{name}` is {value}; it must {'be at least 1' if least else 'not be negative'}.")
            if most is not None and value > most:
                raise UserError(f"`{name}` is {value}; it must be at most {most}.")
        if window_overlap >= window_size:
            raise UserError(
                f"`window_size` is {window_size} and `window_overlap` {window_overlap}; a window must be longer "
                "than its overlap."
            )
        if not 0 < strength <= 1:
            raise UserError(f"`strength` is {strength}; it must be above 0 and at most 1.")
        if int(num_inference_steps * strength) < 1:
            raise UserError(
                f"`strength` {strength} leaves none of {num_inference_steps} steps; raise one of them."
            )
        scales = {
            "appearance_guidance_scale": appearance_guidance_scale,
            "motion_guidance_scale": motion_guidance_scale,
        }
        for name, scale in scales.items():
            ends = tuple(scale) if isinstance(scale, Sequence) else (scale, scale)
            if len(ends) != 2 or not all(math.isfinite(end) for end in ends):
                raise UserError(f"`{name}` is {scale}; it must be a finite number, or two of them.")
        if guidance_interval is not None and not 0 <= guidance_interval[0] <= guidance_interval[1]:
            raise UserError(
                f"`guidance_interval` is {guidance_interval}; it must be a lowest σ from 0 up and a highest one."
            )
        if not math.isfinite(motion_scale) or motion_scale < 0:
            raise UserError(f"`motion_scale` is {motion_scale}; it must be a number from 0 up.")
        if not math.isfinite(fps) or fps <= 0:
            raise UserError(f"`fps` is {fps}; it must be a positive number.")
        if not math.isfinite(noise_aug_strength) or noise_aug_strength < 0:
            raise UserError(f"`noise_aug_strength` is {noise_aug_strength}; it must be a number from 0 up.")
        if output_type not in OUTPUT_TYPES:
            raise UserError(f"`output_type` is {output_type!r}; it must be one of {', '.join(OUTPUT_TYPES)}.")
        missing = [name for name in callback_on_step_end_tensor_inputs if name not in self._callback_tensor_inputs]
        if missing:
            known = ", ".join(self._callback_tensor_inputs)
            raise UserError(f"A callback cannot be given {', '.join(missing)}; there is {known}.")

    def _check_size(self, height: int, width: int) -> None:
        factor = self.vae_scale_factor
        if height < factor or width < factor or height % factor or width % factor:
            raise UserError(f"Height and width must be multiples of {factor}, but are {height} and {width}.")
        # Networks normalise over a picture's latents, so there must be more than one.
        if min(height, width) < 2 * factor or max(height, width) > MAX_SIDE:
            raise UserError(
                f"Height and width must be from {2 * factor} to {MAX_SIDE}, but are {height} and {width}."
            )

    def _check_conditions(self, conditions: PortraitConditions, height: int | None, width: int | None) -> None:
        made = tuple(conditions.portrait.shape[-2:])
        self._check_size(*made)
        if height not in (None, made[0]) or width not in (None, made[1]):
            raise UserError(
                f"The conditions are for pictures of {made[0]}×{made[1]}; leave `height` and `width` out, or "
                "prepare conditions of the size wanted."
            )
        adapter, unet = self.im_adapter.config, self.unet.config
        widths = unet.cross_attention_dim  # one for all levels, or one for each
        for name, axis, expected in (
            ("portrait", 1, self.vae.config.in_channels),
            ("dino_image", 1, 3),
            ("dino_image", 2, adapter.image_size),
            ("dino_image", 3, adapter.image_size),
            ("id_embedding", 1, adapter.id_dim),
            ("motion_tokens", 3, widths if isinstance(widths, int) else widths[0]),
        ):
            shape = tuple(getattr(conditions, name).shape)
            if shape[axis] != expected:
                raise UserError(f"`{name}` has shape {shape}, but this model needs {expected} on axis {axis}.")


@contextmanager
def _rooms_needed(wanted: str = "Pictures and clips need", instead: str = "`conditions`") -> Iterator[None]:
    """Around imports of `face` and `media`, which a pipeline in one file is without.

    Raises:
        UserError: they cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{wanted} the package diffusers-hunyuan-portrait ({error}); install it with "
            f"`pip install diffusers-hunyuan-portrait`, or give {instead}."
        ) from error


def _pose_estimator(pose: "PoseEstimator | str", device: torch.device) -> "PoseEstimator | None":
    """What finds key points, where they are wanted."""
    if not isinstance(pose, str):
        return pose
    check_pose(pose)
    if pose == "none":
        return None
    with _rooms_needed():
        from .hub.dwpose import load_pose_estimator

    return load_pose_estimator(pose, device=device)


def check_pose_settings(pose: Any, pose_eyes: bool, head: str, head_scale: float) -> None:
    """Sees that there is such a pose and that it goes with the rest.

    Raises:
        UserError: it does not.
    """
    if isinstance(pose, str):
        check_pose(pose)
    if pose == "none":
        if pose_eyes:
            raise UserError("The eyes of a skeleton can be kept only where there is one; choose a pose, dwpose.")
    elif (head, head_scale) != ("absolute", 1.0):
        raise UserError("Skeletons show the head as the driver has it, so it cannot be turned otherwise.")


def _open_clip(driving_video: Any) -> Any:
    """The clip, with not too many frames."""
    with _rooms_needed():
        from . import media

    clip = media.open_frames(driving_video)
    check_frames(clip.frame_count)
    return clip


def _collect(chunks: Iterator[torch.Tensor], output_type: str, size: Sequence[int]) -> Any:
    """All decoded frames as `output_type` says; each chunk leaves the device as soon as it is decoded."""
    pictures = [chunk.cpu() for chunk in chunks]
    frames = torch.cat(pictures) if pictures else torch.empty(0, 3, *size)  # (frames, 3, H, W)
    if output_type == "pt":
        return frames[None]
    array = frames.permute(0, 2, 3, 1).numpy()
    return array[None] if output_type == "np" else [VaeImageProcessor.numpy_to_pil(array)]
