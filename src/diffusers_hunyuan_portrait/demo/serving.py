"""The page on a port: with its temporary folder, which goes with the server."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import UserError
from ..face import Detector
from ..pipeline import HunyuanPortraitPipeline
from .fields import Option
from .page import Page, TakeOrder
from .visits import Visits
from .workshop import Workshop

STYLE = Path(__file__).with_name("page.css")
FONTS = ("system-ui", "sans-serif")  # those of the visitor's system: no other server is asked for any


@contextmanager
def serve(
    pipes: Sequence[tuple[HunyuanPortraitPipeline, Detector]],
    options: Sequence[Option],
    take_order: TakeOrder,
    command: Callable[[str, str, Mapping[str, str]], str],
    *,
    model: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    max_megabytes: int = 200,
    max_seconds: float = 60,
) -> Iterator[str]:
    """Serves the page while a `with` statement lasts; gives its address.

    Args:
        pipes: a pipeline for each device, and what finds faces there.
        options: the settings that a visitor may make.
        take_order: see `Page`.
        command: see `Page`.
        model: its name, as the page says it.
        host: the address of this machine that it is served on.
        port: `None` for the first free one from 7860 on.
        share: reachable from outside by an address of Gradio's.
        max_megabytes: of an upload.
        max_seconds: of a driving clip.

    Raises:
        UserError: the port cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="hunyuan-portrait-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # where Gradio keeps what is uploaded
        workshop = Workshop(pipes)
        page = Page(workshop, Visits(Path(folder)), options, take_order, command, model, max_seconds)
        app = page.build()
        try:
            _, local, public = app.launch(
                server_name=host,
                server_port=port,
                share=share,
                prevent_thread_lock=True,
                quiet=True,
                inbrowser=False,
                max_file_size=f"{max_megabytes}mb",
                theme=_theme(),
                css_paths=[STYLE],
                footer_links=["api"],
                ssr_mode=False,
                enable_monitoring=False,
                pwa=False,
                mcp_server=False,
            )
        except OSError as error:
            raise UserError(
                f"The page cannot be served on {host}, port {port or 'from 7860 on'}: {error}."
            ) from error
        try:
            yield public or local
        finally:
            app.close(verbose=False)
            page.visits.end_all()
            workshop.close()


def _theme() -> Any:
    theme = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=("monospace",))
    return theme.set(  # where the default's has too little contrast with what is behind it
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        input_border_color="*neutral_500",
        input_border_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )
