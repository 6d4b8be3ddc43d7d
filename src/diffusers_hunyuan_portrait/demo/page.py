"""The page: what stands on it, and what happens there."""

import asyncio
import html
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from ..errors import UserError
from ..face import Face, names_place
from ..media import open_frames
from .faces import Picture, choices_of, faces_of_clip, faces_of_portrait, framed
from .fields import Option, as_given, settings_of, words_of
from .markup import bar_of, notice_of, sentence_of
from .visits import Result, Visit, Visits
from .workshop import Job, Order, Workshop

TakeOrder: TypeAlias = Callable[[Path, Path, Path, Path | None, Mapping[str, str]], Order]
# Those that most people want; all others are folded away.
BASIC = ("steps", "seed", "motion_scale", "head", "expression_only", "crop_only")
CHOSEN_BY_PICTURE = ("portrait_face", "driving_face")
LOOK = 0.25  # seconds between two looks at a job
TITLE = "Animate a portrait"


@dataclass(frozen=True)
class Page:
    """What the page works with.

    Args:
        workshop: does the jobs.
        visits: keeps what belongs to each visit.
        options: the settings of a run.
        take_order: checks an order: portrait, driving clip, output, comparison and the words of its options.
        command: the command line of an order, of its file names and words.
        model: the model's name.
        max_seconds: of a driving clip.
    """

    workshop: Workshop
    visits: Visits
    options: Sequence[Option]
    take_order: TakeOrder
    command: Callable[[str, str, Mapping[str, str]], str]
    model: str
    max_seconds: float

    # -- What happens ----------------------------------------------------------------------------------------

    def see_portrait(self, request: gr.Request, path: str | None) -> tuple[str, Any]:
        """The faces of an uploaded portrait, and the choice among them."""
        return self._see(request, path, "The portrait", self._faces_of_portrait)

    def see_driving(self, request: gr.Request, path: str | None) -> tuple[str, Any]:
        """The faces of an uploaded clip, and the choice among them."""
        return self._see(request, path, "The driving clip", self._faces_of_clip)

    def _see(
        self,
        request: gr.Request,
        path: str | None,
        name: str,
        find: Callable[[Path], tuple[Picture, list[Face]]],
    ) -> tuple[str, Any]:
        none_to_choose = gr.Radio(choices=[], value=None, visible=False)
        if path is None:
            return "", none_to_choose
        try:
            picture, faces = find(self.visits.hold(_session(request), path))
        except UserError as error:
            return notice_of(self._said(error)), none_to_choose
        if len(faces) == 1:
            return framed(picture, faces, name), none_to_choose
        return framed(picture, faces, name), gr.Radio(choices=choices_of(faces), value="largest", visible=True)

    def _faces_of_portrait(self, path: Path) -> tuple[Picture, list[Face]]:
        return faces_of_portrait(path, self.workshop.detector)

    def _faces_of_clip(self, path: Path) -> tuple[Picture, list[Face]]:
        self._check_length(path)
        return faces_of_clip(path, self.workshop.detector)

    def _check_length(self, path: Path) -> None:
        clip = open_frames(path)
        seconds = clip.frame_count / float(clip.frame_rate or 1)
        if seconds > self.max_seconds:
            raise UserError(
                f"The driving clip has {seconds:.0f} seconds; this page takes up to {self.max_seconds:.0f}."
            )

    def _start(self, request: gr.Request, portrait: Any, driving: Any, values: Sequence[Any]) -> "_Started":
        """Puts what a visit asks for in the queue.

        Raises:
            UserError: something is missing or wrong.
        """
        if portrait is None or driving is None:
            raise UserError(f"Give {'a portrait' if portrait is None else 'a driving clip'} first.")
        session = _session(request)
        portrait, driving = self.visits.hold(session, portrait), self.visits.hold(session, driving)
        visit = self.visits.of(session)
        visit.jobs[:] = [job for job in visit.jobs if not job.is_over]
        self._check_length(driving)
        words = words_of(self.options, values)
        for name in CHOSEN_BY_PICTURE:
            which = words.get(name, "largest")
            if not names_place(which):  # on the command line it may be a path, which here would be the server's
                raise UserError(f"There is no face {which!r}; choose one by its place or its number.")
        number = visit.count = visit.count + 1
        video, comparison = visit.folder / f"animated-{number}.mp4", visit.folder / f"side-by-side-{number}.mp4"
        job = self.workshop.submit(self.take_order(portrait, driving, video, comparison, words))
        visit.jobs.append(job)
        return _Started(visit, job, portrait.name, driving.name, words, video, comparison)

    async def make(
        self, request: gr.Request, portrait: str | None, driving: str | None, *values: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Makes the video that the page asks for; tells by the names of the page's parts how far it is.

        Raises:
            gr.Error: the same sentence as on the command line.
        """
        try:
            started = await asyncio.to_thread(self._start, request, portrait, driving, values)
        except UserError as error:
            yield {"status": notice_of(self._said(error)), "bar": ""}
            raise self._shown(error) from error
        job, said, drawn = started.job, "", ""
        try:
            while not job.is_over:
                ahead = self.workshop.ahead_of(job)
                sentence, bar = sentence_of(job, ahead), bar_of(job)
                # A screen reader tells each change of the sentence, so that is told apart from the bar.
                if sentence != said or bar != drawn:
                    yield {"status": sentence, "bar": bar} if sentence != said else {"bar": bar}
                    said, drawn = sentence, bar
                await asyncio.sleep(LOOK)
        except (asyncio.CancelledError, GeneratorExit):
            job.cancel()
            raise
        if job.error is not None:
            yield {"status": notice_of(self._said(UserError(job.error))), "bar": ""}
            raise self._shown(UserError(job.error))
        parts: dict[str, Any] = {"status": sentence_of(job, 0), "bar": ""}
        if job.state == "done":
            results = started.visit.results
            results.append(self._result(started))
            parts |= _shown_parts(results[-1])
            names = [(result.name, number) for number, result in enumerate(results)]
            parts["history"] = gr.Dropdown(choices=names, value=len(names) - 1, visible=True)
        yield parts

    async def make_for_client(
        self, request: gr.Request, portrait: str | None, driving: str | None, *values: Any
    ) -> str:
        """The same for a program: gives the video alone.

        Raises:
            gr.Error: the same sentence as on the command line.
        """
        try:
            started = await asyncio.to_thread(self._start, request, portrait, driving, values)
        except UserError as error:
            raise self._shown(error) from error
        try:
            while not started.job.is_over:
                await asyncio.sleep(LOOK)
        except asyncio.CancelledError:
            started.job.cancel()
            raise
        if started.job.state != "done":
            raise self._shown(UserError(started.job.error or "The job was cancelled."))
        return str(started.video)

    def _said(self, error: UserError) -> str:
        """Its sentence, with the names of files as the visitor knows them, not where they lie on the server."""
        return re.sub(re.escape(str(self.visits.root)) + r"(/[^/\s]+)?/", "", str(error))

    def _shown(self, error: UserError) -> gr.Error:
        return gr.Error(self._said(error), duration=None, print_exception=False)

    def cancel(self, request: gr.Request) -> None:
        """Ends what the visit has running or waiting."""
        self.visits.of(_session(request)).cancel()

    def show(self, request: gr.Request, number: int | None) -> dict[str, Any]:
        """A result of the visit, by the names of the page's parts."""
        results = self.visits.of(_session(request)).results
        if number is None or not 0 <= number < len(results):
            return {}
        return _shown_parts(results[number])

    def _result(self, started: "_Started") -> Result:
        words = started.words | {"seed": str(started.job.seed)}
        settings = settings_of(self.options, words)
        name = f"{started.video.stem.removeprefix('animated-')}: {started.portrait} with {started.driving}"
        facts = {"model": self.model, "portrait": started.portrait, "driving": started.driving}
        return Result(
            name,
            started.video,
            started.comparison,
            facts | settings,
            self.command(started.portrait, started.driving, words),
        )

    def end(self, request: gr.Request) -> None:
        """The visit is over: nothing of it is kept."""
        self.visits.end(_session(request))

    # -- What stands on it -----------------------------------------------------------------------------------

    def build(self) -> gr.Blocks:
        """The app."""
        options = {option.name: option for option in self.options}
        fields: dict[str, gr.components.Component] = {}
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as app:
            gr.HTML(_heading(self.model))
            with gr.Row():
                with gr.Column(min_width=280):
                    portrait = _portrait_upload()
                    portrait_faces = gr.HTML(elem_id="portrait-faces")
                    fields["portrait_face"] = _choice("Whose face is animated", "portrait-face")
                with gr.Column(min_width=280):
                    driving = gr.Video(
                        label="Driving clip",
                        elem_id="driving",
                        sources=["upload", "webcam"],
                        include_audio=True,
                        height=300,
                    )
                    driving_faces = gr.HTML(elem_id="driving-faces")
                    fields["driving_face"] = _choice("Whose face drives", "driving-face")
            with gr.Column(elem_classes="settings"):
                for name in BASIC:
                    fields[name] = options[name].field()
            with (
                gr.Accordion("More settings", open=False, elem_id="more-settings"),
                gr.Column(elem_classes="settings"),
            ):
                for option in self.options:
                    if option.name not in fields:
                        fields[option.name] = option.field()
            gr.HTML(NOTICE, elem_id="notice")
            with gr.Row():
                start = gr.Button("Animate", variant="primary", elem_id="animate")
                stop = gr.Button("Cancel", variant="secondary", elem_id="cancel")
            status = gr.HTML('<p role="status"></p>', elem_id="status")
            bar = gr.HTML(elem_id="bar")
            with gr.Column(visible=False, elem_id="results") as results:
                with gr.Tabs():
                    with gr.Tab("Side by side"):
                        comparison = gr.Video(
                            label="Portrait, driver and result",
                            interactive=False,
                            elem_id="comparison",
                            buttons=[],
                        )
                    with gr.Tab("Result alone"):
                        video = gr.Video(label="Result", interactive=False, elem_id="result", buttons=[])
                download = gr.DownloadButton("Download the result", elem_id="download")
                history = gr.Dropdown(
                    [], label="Results of this visit", visible=False, elem_id="history", interactive=True
                )
                with gr.Accordion("How to make it again", open=False, elem_id="again"):
                    command = gr.Textbox(
                        label="On the command line", elem_id="command", interactive=False, buttons=["copy"]
                    )
                    settings = gr.Textbox(
                        label="Its settings, as JSON",
                        elem_id="settings",
                        interactive=False,
                        buttons=["copy"],
                        lines=8,
                        max_lines=40,
                    )
            parts: dict[str, Any] = {
                "status": status, "bar": bar, "comparison": comparison, "video": video, "download": download,
                "history": history, "command": command, "settings": settings, "results": results,
            }  # fmt: skip
            inputs = [portrait, driving, *(fields[option.name] for option in self.options)]
            quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

            portrait.change(self.see_portrait, portrait, [portrait_faces, fields["portrait_face"]], **quiet)
            driving.change(self.see_driving, driving, [driving_faces, fields["driving_face"]], **quiet)
            start.click(
                _named(self.make, parts), inputs, list(parts.values()), concurrency_limit=None,
                trigger_mode="once", **quiet,
            )  # fmt: skip
            stop.click(self.cancel, None, None, queue=False, **quiet)
            history.input(_named(self.show, parts), history, list(parts.values()), **quiet)
            app.unload(self.end)
            # For programs; nobody sees it.
            by_words = {name: gr.Textbox(visible=False, label=options[name].label) for name in CHOSEN_BY_PICTURE}
            for_client = {**fields, **by_words}
            gr.Button(visible=False).click(
                self._with_names(self.make_for_client),
                [portrait, driving, *(for_client[option.name] for option in self.options)],
                gr.Video(visible=False, interactive=False, label="Video"),
                api_name="animate",
                api_description="Animates a portrait with the face in a driving clip; gives the video.",
                concurrency_limit=None,
            )
        return app

    def _with_names(self, function: Callable) -> Callable:
        """A function whose arguments have the options' names and defaults, for the API's description."""

        async def call(request: gr.Request, *given: Any, **named: Any) -> Any:
            return await function(request, *given, **named)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in ("request", "portrait", "driving")]
        # Gradio takes the defaults from the fields, but for those that are empty.
        parameters += [inspect.Parameter(option.name, kind, default=None) for option in self.options]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {"request": gr.Request}
        return call


@dataclass(frozen=True)
class _Started:
    """A job of a visit, and what it is of."""

    visit: Visit
    job: Job
    portrait: str
    driving: str
    words: dict[str, str]
    video: Path
    comparison: Path


def _shown_parts(result: Result) -> dict[str, Any]:
    """The page's parts that show a result."""
    return {
        "comparison": str(result.comparison),
        "video": str(result.video),
        "download": str(result.video),
        "settings": json.dumps(result.settings, indent=2),
        "command": result.command,
        "results": gr.Column(visible=True),
    }


NOTICE = (
    "<p>Animate only people who agree to it. What is made is not real: it carries signed content credentials that "
    "say so, which <code>hunyuan-portrait verify</code> reads back. Pictures and clips stay on this server while "
    "the page is open, and are removed when it is closed.</p>"
)


def _heading(model: str) -> str:
    return (
        f"<h1>{TITLE}</h1><p>Drop a portrait, and a clip of the face that drives it, or record one. The model is "
        f"<strong>{html.escape(model)}</strong>.</p>"
    )


def _portrait_upload() -> gr.Image:
    picture = gr.Image(
        label="Portrait",
        elem_id="portrait",
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=300,
    )
    return as_given(picture, lambda payload: payload.path)


def _choice(label: str, elem_id: str) -> gr.Radio:
    return gr.Radio([], label=label, visible=False, elem_id=elem_id)


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _named(function: Callable, parts: Mapping[str, Any]) -> Callable:
    """A handler of the page that tells parts by their names, as Gradio has it: by the parts themselves."""

    def of(values: Mapping[str, Any]) -> dict[Any, Any]:
        return {parts[name]: value for name, value in values.items()}

    if inspect.isasyncgenfunction(function):

        async def stream(request: gr.Request, *given: Any) -> AsyncIterator[dict[Any, Any]]:
            async for values in function(request, *given):
                yield of(values)

        return stream

    def call(request: gr.Request, *given: Any) -> dict[Any, Any]:
        return of(function(request, *given))

    return call
