"""The README's pictures of the page: `python examples/show_page.py docs`; needs Chromium and playwright.

It serves the page with the model drawn-faces, has it animate a drawn portrait as a visitor would, and takes its
picture at work and with the result.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from make_drawn_demo import make_demo
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT = 1100, 900
PATIENCE = 300_000  # milliseconds


def main() -> None:
    """Writes page.png and page-result.png into the folder named on the command line."""
    (folder,) = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as media, socket.socket() as free:
        make_demo(Path(media))
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        server = subprocess.Popen(
            ["hunyuan-portrait", "demo", "--model", "drawn-faces", "--port", str(port)], stderr=subprocess.DEVNULL
        )
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
                page.set_default_timeout(PATIENCE)
                open_when_served(page, f"http://127.0.0.1:{port}/")
                take_pictures(page, Path(media), folder)
        finally:
            server.terminate()
            server.wait()


def open_when_served(page: Page, address: str) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            page.goto(address)
            return
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def take_pictures(page: Page, media: Path, folder: Path) -> None:
    page.wait_for_selector("#animate")
    page.set_input_files("#portrait input[type=file]", media / "portrait.png")
    page.set_input_files("#driving input[type=file]", media / "driving.mp4")
    page.wait_for_selector("#portrait-faces img")
    page.wait_for_selector("#driving-faces img")
    page.get_by_label("Steps").fill("10")
    page.get_by_text("More settings").click()
    for name in ("Appearance guidance scale", "Motion guidance scale"):  # what this model is shown with
        page.get_by_label(name).fill("1")
    page.get_by_text("More settings").click()
    page.click("#animate")
    page.wait_for_selector("#bar img")
    page.wait_for_function("document.querySelector('#bar progress')?.value >= 20")
    page.screenshot(path=folder / "page.png", full_page=True)
    page.wait_for_selector("#comparison video")
    page.evaluate("async () => { const it = document.querySelector('#comparison video'); it.currentTime = 1; }")
    page.wait_for_function("!document.querySelector('#comparison video').seeking")
    page.get_by_text("How to make it again").click()
    page.wait_for_timeout(1000)  # until it has unfolded
    page.locator("#results").screenshot(path=folder / "page-result.png")


if __name__ == "__main__":
    main()
