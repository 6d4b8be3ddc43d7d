"""The page served, what is given to it, and a browser to look at it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_server import PATIENCE, Media, Server, chromium, draw_media

pytest.importorskip("gradio", reason="gradio is not installed; `pip install -e '.[dev]'` brings it")


@pytest.fixture(scope="session")
def demo_media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """A portrait and a clip with sound, and others that are wrong. Not to be changed."""
    return draw_media(tmp_path_factory.mktemp("demo-media"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page by the real command, as many options have it."""
    running = Server(tmp_path_factory.mktemp("server"), "--max-megabytes", 1, "--max-seconds", 20)
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Opens the page in a context of its own, as another person's browser would; gives the page."""
    contexts = []

    def open_page(width: int = 1440, theme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.goto(server.address)
        page.wait_for_selector("#animate")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """The folder for pictures of the page, which people look at."""
    folder = Path(__file__).parents[2] / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
