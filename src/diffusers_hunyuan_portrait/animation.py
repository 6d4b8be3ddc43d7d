"""The whole job: a portrait and a driving clip in, an animated video file out, frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from . import face, media
from .blending import DEFAULT_BLEND, check_blend, paste_frames
from .conditions import repetition
from .errors import RunInterruptedError
from .face.skeletons import PoseEstimator
from .motion import SUFFIX, DrivingMotion
from .pipeline import HunyuanPortraitPipeline
from .progress import Progress
from .provenance import (
    MADE_BY_MODEL,
    PASTED_BACK,
    Claim,
    Signature,
    Watermark,
    check_frame_size,
    signature_of_user,
)
from .results import ResultWriter, check_beside

logger = logging.get_logger(__name__)


def animate(
    pipe: HunyuanPortraitPipeline,
    portrait: Any,
    driving: Any,
    output: str | PathLike[str],
    *,
    detector: "face.Detector | str" = "auto",
    height: int | None = None,
    width: int | None = None,
    detect_every: int = 1,
    portrait_face: Any = "largest",
    driving_face: Any = "largest",
    smooth: bool = False,
    crop: str = "first",
    head: str = "absolute",
    head_scale: float = 1.0,
    pose: PoseEstimator | str = "none",
    pose_eyes: bool = False,
    crop_only: bool = False,
    blend: str = DEFAULT_BLEND,
    match_colour: bool = False,
    codec: str | None = None,
    quality: int | None = None,
    compare: str | PathLike[str] | None = None,
    preview: str | PathLike[str] | None = None,
    provenance: bool = True,
    signature: Signature | None = None,
    model_name: str | None = None,
    portrait_file: str | PathLike[str] | None = None,
    watermark: bool = False,
    loop: int = 1,
    boomerang: bool = False,
    decode_chunk_size: int = 8,
    on_progress: Progress | None = None,
    **settings: Any,
) -> Path:
    """Animates `portrait` with the face in `driving` and writes the video to `output`.

    The animated square is put back into the whole portrait, with the driving clip's times and sound; pictures and
    arrays, which have neither, give 25 frames a second. The whole clip's sound is copied where the output can hold
    it; that of an excerpt, or of several rounds, is encoded anew, cut to the sample. What runs backwards has none.
    Frames go to the file as they are decoded: beside motion tokens and latents nothing grows with the clip.
    Where processes share the run (`pipe.share_work`), all of them call this, and the first writes the video.

    Args:
        pipe: the loaded pipeline.
        portrait: path, PIL image, or (H, W, 3) uint8 array.
        driving: path of a video, of a picture or of a folder of numbered pictures; list of PIL images;
            (F, H, W, 3) uint8 array; what `media.open_frames` gave, or a `media.Excerpt` of it; or the motion of a
            clip, or the path of its file.
        output: an .mp4, .m4v, .mov, .mkv, .webm, .gif or .webp file to be, or for PNG pictures a folder; it
            appears whole or not at all.
        detector: a name for `face.load_detector`, or any object with its `detect`.
        detect_every, portrait_face, driving_face, smooth, crop, head, head_scale, pose, pose_eyes: how faces are
            found and followed, how the head turns, and whether skeletons are shown, as `pipe.prepare_conditions`
            takes it.
        height, width: size of the square as it is made, multiples of 8; the model's resolution by default.
        crop_only: write the square alone.
        blend: how the square goes into the portrait: "linear", faded out at its border; "ellipse", cut out about
            the face, where it was and where it is in each frame; "poisson", the same, with the portrait's colours
            running on into it.
        match_colour: bring each frame's colours to the portrait's, as the square's border has them.
        codec, quality: as `media.VideoWriter` takes them, or "png"; by default the usual codec of the output's
            ending, at its own quality.
        compare: another video to be: portrait, driver and result side by side. There is none of a motion, which
            has no pictures.
        preview: a picture to be, .png or .jpg: frames of the result, evenly over it.
        provenance: write content credentials (C2PA) into what can carry them: that it is generated, by what, and
            the portrait's hash.
        signature: who signs them; a self-made one, kept in the user's settings, by default.
        model_name: what they call the model; the folder or repository that it was loaded from by default.
        portrait_file: the picture's file, where `portrait` is not its path.
        watermark: put an invisible mark of this program into every picture that is written.
        loop: how many rounds of the clip there are; the motion goes on smoothly from one to the next.
        boomerang: each round runs forwards and then backwards.
        decode_chunk_size: frames decoded at a time.
        on_progress: told how far the run is.
        **settings: further arguments of the pipeline's call, such as `num_inference_steps` and `generator`.

    Returns:
        The path of the video.

    Raises:
        UserError: an input, a setting or the output is wrong; nothing was written.
        RunInterruptedError: `pipe.interrupt` was set meanwhile; nothing was written.
    """
    check_blend(blend, match_colour, crop_only=crop_only)
    source = open_driving(driving)
    inputs = (portrait, source.path)
    output = media.check_output(output, inputs, codec, quality)
    comparison, sheet = check_beside(compare, preview, (*inputs, output), has_pictures=source.has_pictures)
    pipe.check_inputs(height=height, width=width, decode_chunk_size=decode_chunk_size, **settings)
    credentials = None
    if provenance and pipe.ranks.rank == 0:  # before the work, as the settings may not take a signature
        file = portrait if portrait_file is None else portrait_file
        claim = Claim(
            MADE_BY_MODEL if crop_only else PASTED_BACK,
            model_name or _name_of(pipe),
            getattr(detector, "name", str(detector)),
            Path(file) if isinstance(file, (str, PathLike)) else None,
        )
        credentials = claim, signature or signature_of_user()
    marker = Watermark() if watermark else None
    original = media.read_image(portrait)
    if marker is not None:
        side = pipe.config.resolution
        check_frame_size(*((height or side, width or side) if crop_only else original.shape[:2]))
    repetition(source.frame_count, loop, boomerang)  # whether there may be so many frames, before any work
    conditions = pipe.prepare_conditions(
        original,
        source.taken,
        height=height,
        width=width,
        detector=detector,
        detect_every=detect_every,
        portrait_face=portrait_face,
        driving_face=driving_face,
        smooth=smooth,
        crop=crop,
        head=head,
        head_scale=head_scale,
        pose=pose,
        pose_eyes=pose_eyes,
        on_progress=on_progress,
    )
    if pipe.interrupt:
        raise RunInterruptedError(f"The run was interrupted, and {output} was not written.")
    order = repetition(conditions.num_frames - 2 * conditions.pad_frames, loop, boomerang)
    conditions = conditions.repeated(loop, boomerang=boomerang)
    result: Any = pipe(conditions=conditions, output_type="latent", on_progress=on_progress, **settings)
    chunks = pipe.decode_frames(result.frames, decode_chunk_size, conditions.pad_frames, on_progress=on_progress)
    if pipe.ranks.rank > 0:  # the first process writes what all have decoded
        for _ in chunks:
            pass
        return output
    frames = _as_bytes(chunks)
    if not crop_only and conditions.portrait_box is not None:
        frames = paste_frames(
            frames,
            original,
            conditions.portrait_box,
            detector=detector,
            blend=blend,
            match_colour=match_colour,
            detect_every=detect_every,
        )
    times = media.times_of(source, order)
    sound = _sound_of(source, loop, boomerang)
    with ResultWriter(
        output,
        frame_rate=source.frame_rate,
        codec=codec,
        quality=quality,
        sound=sound,
        comparison=comparison,
        sheet=sheet,
        portrait=original,
        driving=source.taken,
        order=order,
        times=times,
        own_times=source.is_variable_rate,
        provenance=credentials,
        watermark=marker,
    ) as writer:
        for frame in frames:
            writer.write(frame)
        if pipe.interrupt:
            raise RunInterruptedError(f"The run was interrupted, and {output} was not written.")
    return output


@dataclass(frozen=True)
class Driving:
    """What drives a run, a clip or a motion, and what the video takes over from it.

    Args:
        taken: what `prepare_conditions` takes.
        timestamps: (F,) seconds, or `None` where they follow from the rate.
        path: of the clip that has the sound; `None` where there is none.
        span: seconds of that clip that the motion is of; `None` for the whole.
    """

    taken: Any
    frame_count: int
    frame_rate: Fraction
    timestamps: np.ndarray | None
    is_variable_rate: bool
    path: Path | None
    span: tuple[float, float] | None

    @property
    def has_pictures(self) -> bool:
        """Whether the driver can be shown."""
        return not isinstance(self.taken, DrivingMotion)


def open_driving(driving: Any) -> Driving:
    """What `animate` takes as `driving`, opened; a path that ends in .safetensors is a motion's.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(driving, (str, PathLike)) and Path(driving).suffix.lower() == SUFFIX:
        driving = DrivingMotion.load(driving)
    if isinstance(driving, DrivingMotion):
        path = driving.sound
        if path is not None and not path.is_file():
            logger.warning("The sound of the driving motion, in %s, is gone and left out.", path)
            path = None
        times = driving.timestamps.numpy()
        return Driving(
            driving, len(driving), driving.frame_rate, times, driving.is_variable_rate, path, driving.sound_span
        )
    clip = media.open_frames(driving, frame_rate=media.DEFAULT_FRAME_RATE)
    rate = clip.frame_rate or media.DEFAULT_FRAME_RATE
    span = clip.span if isinstance(clip, media.Excerpt) and not clip.is_whole else None
    return Driving(clip, clip.frame_count, rate, clip.timestamps, clip.is_variable_rate, clip.path, span)


def _name_of(pipe: HunyuanPortraitPipeline) -> str:
    """Of the model; of one in a folder that folder's name, as paths tell of their owner."""
    name = str(pipe.config.get("_name_or_path") or type(pipe).__name__)
    return Path(name).name if Path(name).exists() else name


def _sound_of(source: Driving, loop: int, boomerang: bool) -> media.Sound | None:
    if source.path is None:
        return None
    if boomerang:
        if media.has_sound(source.path):
            logger.warning("The driving clip's sound is left out, as half of the video runs backwards.")
        return None
    if source.span is None and loop == 1:
        return media.Sound(source.path)
    whole = 0.0, float(media.times_of(source, range(source.frame_count))[-1] + 1 / source.frame_rate)
    return media.Sound(source.path, source.span or whole, loop)


def _as_bytes(chunks: Iterator[torch.Tensor]) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8; rounded on the device, so that a quarter of the bytes leave it."""
    for chunk in chunks:
        yield from (chunk * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
