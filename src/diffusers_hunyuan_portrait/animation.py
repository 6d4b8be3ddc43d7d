"""The whole job: a portrait and a driving clip in, an animated video file out, frame by frame."""

from collections.abc import Iterator
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from . import face, media
from .conditions import repetition
from .errors import RunInterruptedError
from .pipeline import HunyuanPortraitPipeline
from .progress import Progress

logger = logging.get_logger(__name__)

DEFAULT_FRAME_RATE = Fraction(25)  # of what is driven by pictures or arrays, which have no rate


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
    crop_only: bool = False,
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
            (F, H, W, 3) uint8 array; or what `media.open_frames` gave, or a `media.Excerpt` of it.
        output: an .mp4, .m4v, .mov or .mkv file to be; it appears whole or not at all.
        detector: a name for `face.load_detector`, or any object with its `detect`.
        detect_every, portrait_face, driving_face, smooth, crop: how faces are found and followed, as
            `pipe.prepare_conditions` takes it.
        height, width: size of the square as it is made, multiples of 8; the model's resolution by default.
        crop_only: write the square alone.
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
    clip = media.open_frames(driving, frame_rate=DEFAULT_FRAME_RATE)
    output = media.check_output(output, inputs=(portrait, clip.path))
    pipe.check_inputs(height=height, width=width, decode_chunk_size=decode_chunk_size, **settings)
    original = media.read_image(portrait)
    repetition(clip.frame_count, loop, boomerang)  # whether there may be so many frames, before any work
    conditions = pipe.prepare_conditions(
        original,
        clip,
        height=height,
        width=width,
        detector=detector,
        detect_every=detect_every,
        portrait_face=portrait_face,
        driving_face=driving_face,
        smooth=smooth,
        crop=crop,
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
    box = None if crop_only else conditions.portrait_box
    times = media.times_of(clip, order) if clip.is_variable_rate else None
    sound = _sound_of(clip, loop, boomerang)
    with media.VideoWriter(output, frame_rate=clip.frame_rate or DEFAULT_FRAME_RATE, sound_from=sound) as writer:
        for index, picture in enumerate(_as_bytes(chunks)):
            if box is not None:
                picture = media.paste_back(original, picture, box)
            writer.write(picture, None if times is None else times[index])
        if pipe.interrupt:
            raise RunInterruptedError(f"The run was interrupted, and {output} was not written.")
    return output


def _sound_of(clip: Any, loop: int, boomerang: bool) -> media.Sound | None:
    if clip.path is None:
        return None
    if boomerang:
        if media.has_sound(clip.path):
            logger.warning("The driving clip's sound is left out, as half of the video runs backwards.")
        return None
    if isinstance(clip, media.Excerpt) and not clip.is_whole:
        return media.Sound(clip.path, clip.span, loop)
    return media.Sound(clip.path) if loop == 1 else media.Sound(clip.path, media.Excerpt(clip).span, loop)


def _as_bytes(chunks: Iterator[torch.Tensor]) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8; rounded on the device, so that a quarter of the bytes leave it."""
    for chunk in chunks:
        yield from (chunk * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
