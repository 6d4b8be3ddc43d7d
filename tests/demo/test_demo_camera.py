"""A clip that is recorded on the page, by a camera that shows a drawn face, drives a portrait like any other."""

from pathlib import Path

import av
import numpy as np
import pytest
from demo_server import PATIENCE, Server, chromium, count_frames, has_sound

RECORDED = 1500  # milliseconds


@pytest.fixture
def server(tmp_path):
    """The page without limits of a test's size: nobody knows how large a browser's recording is."""
    running = Server(tmp_path / "server")
    yield running
    running.close()


@pytest.fixture
def camera(demo_media, tmp_path) -> Path:
    """What a camera sees, again and again: the driving clip, as the browser reads it."""
    path = tmp_path / "camera.y4m"
    with av.open(str(demo_media.driving)) as clip, path.open("wb") as file:
        video = clip.streams.video[0]
        file.write(f"YUV4MPEG2 W{video.width} H{video.height} F12:1 Ip A1:1 C420jpeg\n".encode())
        for frame in clip.decode(video):
            file.write(b"FRAME\n" + np.ascontiguousarray(frame.to_ndarray(format="yuv420p")).tobytes())
    return path


@pytest.fixture
def page(camera, server):
    """The page in a browser with this camera and a microphone, which it may use."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    devices = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", *devices, f"--use-file-for-fake-video-capture={camera}"],
        )
        context = browser.new_context(permissions=["camera", "microphone"])
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.goto(server.address)
        page.wait_for_selector("#animate")
        yield page
        browser.close()


def test_a_recorded_clip_drives_a_portrait(page, demo_media, tmp_path):
    page.set_input_files("#portrait input[type=file]", demo_media.portrait)
    page.get_by_label("Steps").fill("2")
    field = page.locator("#driving")
    field.get_by_label("Capture from camera").click()
    field.get_by_text("Click to Access Webcam").click()
    field.get_by_label("start recording").click()
    page.wait_for_timeout(RECORDED)
    field.get_by_role("button").filter(has_text="Stop").click()
    assert page.locator("#driving-faces figcaption").inner_text() == "One face was found."

    page.wait_for_selector("#portrait-faces figcaption")
    page.click("#animate")
    page.wait_for_selector("#results video")
    with page.expect_download() as download:
        page.click("#download")
    video = tmp_path / "result.mp4"
    download.value.save_as(video)
    assert count_frames(video) > 5
    assert has_sound(video)
