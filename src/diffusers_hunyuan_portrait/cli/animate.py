"""`hunyuan-portrait animate`: a portrait and a driving clip to a video."""

from pathlib import Path
from typing import Annotated

import typer

from ..blending import DEFAULT_BLEND
from ..loading import DEFAULT_MODEL
from ..media.codecs import FORMATS
from ..media.codecs import NAMES as CODECS
from . import options
from .making import Model, Video, load_estimator, loaded, make_showing


def animate(
    portrait: Annotated[Path, typer.Argument(help="The picture to animate.", show_default=False)],
    driving: Annotated[
        Path, typer.Argument(help="What drives it: a clip, or a motion by `extract`.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=f"The video to write: {', '.join(FORMATS)}; or a folder of pictures."),
    ],
    model: options.Model = DEFAULT_MODEL,
    accept_licences: options.AcceptLicences = False,
    start: options.Start = "0",
    end: options.End = None,
    fps: options.Fps = None,
    loop: Annotated[int, typer.Option(min=1, help="Rounds of DRIVING.")] = 1,
    boomerang: Annotated[
        bool, typer.Option("--boomerang", help="Run each round forwards and backwards, without sound.")
    ] = False,
    background: Annotated[str, typer.Option(help="What shows through a transparent portrait.")] = "white",
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Makes the run repeatable.", show_default="random")
    ] = None,
    crop_only: Annotated[
        bool, typer.Option("--crop-only", help="Write the animated square alone, not the whole portrait.")
    ] = False,
    blend: Annotated[
        str,
        typer.Option(
            help="How the square goes into the portrait: linear, faded out at its border; ellipse, cut out about "
            "the face, for hard backgrounds; poisson, the same, with the portrait's colours running on into it."
        ),
    ] = DEFAULT_BLEND,
    match_colour: Annotated[
        bool,
        typer.Option(
            "--match-colour", help="Bring each frame's colours to the portrait's at the square's border."
        ),
    ] = False,
    codec: Annotated[
        str | None,
        typer.Option(
            help=f"How the video is written: {', '.join(CODECS)}.", show_default="by the output's ending"
        ),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="The codec's own number; of h264 0 to 51, the worst.", show_default="high")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(help="A second video: portrait, driver and result side by side.", show_default=False),
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="A picture of frames of the result: .png or .jpg.", show_default=False)
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            envvar="HUNYUAN_PORTRAIT_CERTIFICATE",
            help="Your certificate chain, in PEM, that signs the content credentials; with --key.",
            show_default="a self-made one",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            envvar="HUNYUAN_PORTRAIT_KEY", help="Its private key, in PEM without a password.", show_default=False
        ),
    ] = None,
    no_provenance: Annotated[
        bool,
        typer.Option("--no-provenance", help="Write no content credentials; not for pictures of real people."),
    ] = False,
    watermark: Annotated[
        bool,
        typer.Option(
            "--watermark", help="Put an invisible mark of this program into every frame; `verify` reads it."
        ),
    ] = False,
    detector: options.Detector = "auto",
    detector_path: options.DetectorPath = None,
    detect_every: options.DetectEvery = 1,
    portrait_face: options.PortraitFace = "largest",
    driving_face: options.DrivingFace = "largest",
    smooth: options.Smooth = False,
    crop: options.Crop = "first",
    motion_scale: Annotated[
        float, typer.Option(min=0, help="How strongly the motion shows: 1 as it is, 0.5 less, 1.5 more.")
    ] = 1.0,
    head: Annotated[
        str,
        typer.Option(
            help="Whose angles the head is at: absolute, the driver's; relative, the portrait's own, and what the "
            "driver's head turns from its first frame on."
        ),
    ] = "absolute",
    head_scale: Annotated[
        float, typer.Option(help="How far the head turns: 1 as the driver's, 0 not at all.")
    ] = 1.0,
    expression_only: Annotated[
        bool,
        typer.Option(
            "--expression-only",
            help="Leave the head as it is in the portrait: --head relative --head-scale 0 --crop each.",
        ),
    ] = False,
    pose: options.Pose = "none",
    pose_path: options.PosePath = None,
    pose_eyes: Annotated[
        bool,
        typer.Option(
            "--pose-eyes",
            help="Keep the eyes in the skeletons, for a clip of the portrait's own person; another's would change "
            "the face's shape.",
        ),
    ] = False,
    height: Annotated[
        int | None, typer.Option(help="Height of the square as it is made.", show_default="the model's")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of the square as it is made.", show_default="the model's")
    ] = None,
    appearance_guidance_scale: Annotated[
        str, typer.Option(metavar="NUMBER|FIRST:LAST", help="How strongly the portrait is followed.")
    ] = "2.0",
    motion_guidance_scale: Annotated[
        str, typer.Option(metavar="NUMBER|FIRST:LAST", help="How strongly the driving motion is followed.")
    ] = "2.0",
    solver: options.Solver = "",
    guidance_interval: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Guide only between these noise levels (σ).", show_default=False),
    ] = None,
    cache_interval: Annotated[
        int, typer.Option(help="Run the whole UNet every N steps, its outermost blocks in those between.")
    ] = 1,
    lora: options.Lora = None,
    weights: options.Weights = "none",
    compile: options.Compile = False,
    window_size: Annotated[int, typer.Option(help="Frames that are denoised together.")] = 25,
    window_overlap: Annotated[int, typer.Option(help="Frames that neighbouring windows share.")] = 3,
    window_shift: Annotated[int, typer.Option(help="Frames the windows move at each step.")] = 3,
    strength: Annotated[float, typer.Option(help="Below 1, start from a portrait less noised.")] = 1.0,
    decode_chunk_size: Annotated[int, typer.Option(help="Frames that are decoded together.")] = 8,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    offload: options.Offload = "none",
) -> None:
    """Animate PORTRAIT with the face in DRIVING."""
    # Before the model is fetched or loaded, which takes long: what cannot be used is told at once.
    video = Video.of_options(
        portrait,
        driving,
        output,
        start=start,
        end=end,
        fps=fps,
        loop=loop,
        boomerang=boomerang,
        background=background,
        steps=steps,
        seed=seed,
        crop_only=crop_only,
        blend=blend,
        match_colour=match_colour,
        codec=codec,
        quality=quality,
        compare=compare,
        preview=preview,
        certificate=certificate,
        key=key,
        no_provenance=no_provenance,
        watermark=watermark,
        detect_every=detect_every,
        portrait_face=portrait_face,
        driving_face=driving_face,
        smooth=smooth,
        crop=crop,
        motion_scale=motion_scale,
        head=head,
        head_scale=head_scale,
        expression_only=expression_only,
        pose=pose,
        pose_eyes=pose_eyes,
        height=height,
        width=width,
        appearance_guidance_scale=appearance_guidance_scale,
        motion_guidance_scale=motion_guidance_scale,
        guidance_interval=guidance_interval,
        cache_interval=cache_interval,
        window_size=window_size,
        window_overlap=window_overlap,
        window_shift=window_shift,
        strength=strength,
        decode_chunk_size=decode_chunk_size,
    )
    chosen = Model.of_options(
        model,
        accept_licences=accept_licences,
        detector=detector,
        detector_path=detector_path,
        device=device,
        dtype=dtype,
        offload=offload,
        lora=lora,
        weights=weights,
        solver=solver,
        compile=compile,
        pose=pose,
        pose_path=pose_path,
    )
    picture, driving_clip = video.open()
    estimator = load_estimator(chosen)
    with loaded(chosen) as (pipe, finder):
        make_showing(video, pipe, finder, picture, driving_clip, model, estimator)
