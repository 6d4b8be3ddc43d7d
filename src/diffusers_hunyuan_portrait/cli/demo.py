"""`hunyuan-portrait demo`: a page to try it on."""

import inspect
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import typer

from ..blending import BLENDS
from ..errors import UserError
from ..face.driving import CROPS
from ..loading import DEFAULT_MODEL, MODEL_VARIABLE, PACKAGED, find_prepared
from ..motion import HEADS
from ..pipeline import LIMITS
from . import options
from .animate import animate
from .display import console
from .making import OF_THE_MODEL, Model, Video, loaded
from .wording import animate_command, option_words, video_of_words

if TYPE_CHECKING:
    from ..demo import Option

WITHOUT_MODEL = "drawn-faces"  # what is shown where no other model is at hand
# What the page settles itself: its files, who signs, a codec that every browser plays, and that there is no pose.
_FILES = {"portrait", "driving", "output", "compare", "preview", "certificate", "key"}
_SETTLED = {*_FILES, "no_provenance", "codec", "pose_eyes"}
_ARGUMENTS = {"steps": "num_inference_steps"}  # what the call has another name for
_CHOICES: dict[str, Sequence[str]] = {"crop": tuple(CROPS), "head": HEADS, "blend": BLENDS}


def demo(
    model: Annotated[
        str | None,
        typer.Option(
            envvar=MODEL_VARIABLE,
            help="As `animate` takes it.",
            show_default=f"{DEFAULT_MODEL} where it was fetched before, else {WITHOUT_MODEL}",
        ),
    ] = None,
    accept_licences: options.AcceptLicences = False,
    host: Annotated[
        str, typer.Option(help="The address to serve on; 0.0.0.0 for the whole network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, show_default="the first free one from 7860 on")
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Make a public address for some days.")] = False,
    max_megabytes: Annotated[int, typer.Option(min=1, help="What an upload may have.")] = 200,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="What a driving clip may have.")] = 60,
    detector: options.Detector = "auto",
    detector_path: options.DetectorPath = None,
    lora: options.Lora = None,
    weights: options.Weights = "none",
    solver: options.Solver = "",
    compile: options.Compile = False,
    device: Annotated[
        str, typer.Option(help="auto, cuda, mps or cpu; several, as cuda:0,cuda:1, do as many jobs at a time.")
    ] = "auto",
    dtype: options.Dtype = "auto",
    offload: options.Offload = "none",
) -> None:
    """Serve a page to try it on."""
    with page_needed():
        from ..demo import serve
    if model is None:
        model = DEFAULT_MODEL if find_prepared(DEFAULT_MODEL) is not None else WITHOUT_MODEL
    given = {"lora": lora, "weights": weights, "solver": solver, "dtype": dtype, "detector": detector}
    chosen = [
        Model.of_options(
            model,
            accept_licences=accept_licences,
            detector=detector,
            detector_path=detector_path,
            device=name.strip(),
            dtype=dtype,
            offload=offload,
            lora=lora,
            weights=weights,
            solver=solver,
            compile=compile,
        )
        for name in device.split(",")
    ]
    command = animate_command()

    def take_order(
        portrait: Path, driving: Path, output: Path, comparison: Path | None, words: Mapping[str, str]
    ) -> _Order:
        extra = {} if comparison is None else {"compare": str(comparison)}
        return _Order(video_of_words(command, portrait, driving, output, {**words, **extra}), model)

    def line(portrait: str, driving: str, words: Mapping[str, str]) -> str:
        of_model = {name: value for name, value in given.items() if value and value not in ("none", "auto")}
        words = {"model": _public_name(model), **of_model, **words}
        head = ["hunyuan-portrait", "animate", portrait, driving, "--output", "animated.mp4"]
        return shlex.join([*head, *option_words(command, words)])

    with ExitStack() as stack:
        pipes = [stack.enter_context(loaded(one)) for one in chosen]
        address = stack.enter_context(
            serve(
                pipes,
                _options(),
                take_order,
                line,
                model=_public_name(model),
                host=host,
                port=port,
                share=share,
                max_megabytes=max_megabytes,
                max_seconds=max_seconds,
            )
        )
        console.print(f"The page is at {address} until you press Ctrl+C.", soft_wrap=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            console.print("Closing.")


@contextmanager
def page_needed() -> Iterator[None]:
    """Around imports of the room `demo`, which needs gradio.

    Raises:
        UserError: they cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"The page needs gradio ({error}); install it with `pip install 'diffusers-hunyuan-portrait[demo]'`."
        ) from error


@dataclass(frozen=True)
class _Order:
    """A video that a visitor has asked for."""

    video: Video
    model: str

    def make(self, pipe: Any, detector: Any, on_progress: Any, **run: Any) -> int:
        picture, driving = self.video.open()
        return self.video.make(pipe, detector, picture, driving, self.model, on_progress, **run)


def _public_name(model: str) -> str:
    """Of a model; of one in a folder that folder's name, as paths tell of the server."""
    return model if model in PACKAGED or not Path(model).exists() else Path(model).name


def _options() -> list["Option"]:
    """The options of `animate` that a visitor may set."""
    from ..demo import Option

    kinds: dict[type, Literal["flag", "whole", "number"]] = {bool: "flag", int: "whole", float: "number"}
    hints = get_type_hints(animate, include_extras=True)
    found = []
    for name, parameter in inspect.signature(animate).parameters.items():
        if name in _SETTLED | OF_THE_MODEL:
            continue
        kind, said = get_args(hints[name])  # of Annotated
        least, most = LIMITS.get(_ARGUMENTS.get(name, name), (said.min, said.max))
        word_kinds = [one for one in get_args(kind) or [kind] if one is not type(None)]
        found.append(
            Option(
                name=name,
                kind=kinds.get(word_kinds[0], "text"),
                default=parameter.default,
                help=said.help,
                least=least,
                most=most,
                choices=_CHOICES.get(name, ()),
                unset=said.show_default if isinstance(said.show_default, str) else "",
            )
        )
    return found
