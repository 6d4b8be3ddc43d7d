"""A job that is cancelled ends before the next call of a network; and an error of ours in one job is told."""

import threading
from pathlib import Path

import pytest
import torch
from demo_server import free_port, wait_until
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline, load_pipeline
from diffusers_hunyuan_portrait.cli.demo import _options, _Order
from diffusers_hunyuan_portrait.cli.wording import animate_command, video_of_words
from diffusers_hunyuan_portrait.demo import Order, Workshop, serve
from diffusers_hunyuan_portrait.face import load_detector


@pytest.fixture(scope="module")
def pipe() -> HunyuanPortraitPipeline:
    return load_pipeline("drawn-faces", torch.device("cpu"), torch.float32)


def order_of(demo_media, output: Path, **words: str) -> Order:
    settings = {"steps": "3", "height": "64", "width": "64", "seed": "1", "end": "0.4", **words}
    command = animate_command()
    return _Order(
        video_of_words(command, demo_media.portrait, demo_media.driving, output, settings), "drawn-faces"
    )


@pytest.mark.parametrize(
    ("network", "method", "number"),
    [("vae", "encode", 1), ("unet", "forward", 1), ("unet", "forward", 3), ("vae", "decode", 2)],
)
def test_cancelling_takes_effect_before_the_next_call_of_the_unet_or_the_vae(
    pipe, demo_media, tmp_path, monkeypatch, network, method, number
):
    calls: list[tuple[str, str]] = []
    reached, go_on = threading.Event(), threading.Event()

    def watch(name: str, way: str) -> None:
        original = getattr(getattr(pipe, name), way)

        def watched(*given, **named):
            # The preview's own decoding of a frame is a call too.
            calls.append((name, way))
            if calls.count((name, way)) == number and (name, way) == (network, method):
                reached.set()
                go_on.wait(60)
            return original(*given, **named)

        monkeypatch.setattr(getattr(pipe, name), way, watched)

    for name, way in (("vae", "encode"), ("unet", "forward"), ("vae", "decode")):
        watch(name, way)
    workshop = Workshop([(pipe, load_detector("mtcnn"))])
    try:
        job = workshop.submit(order_of(demo_media, tmp_path / "never.mp4", decode_chunk_size="1"))
        wait_until(reached.is_set, "the call is made")
        before = len(calls)
        job.cancel()
        go_on.set()
        wait_until(lambda: job.is_over, "the job is over")
        assert job.state == "cancelled"
        assert len(calls) == before
        assert list(tmp_path.iterdir()) == []
        # And the pipeline is as good as before.
        another = workshop.submit(order_of(demo_media, tmp_path / "out.mp4"))
        wait_until(lambda: another.is_over, "the next job is over")
        assert another.state == "done", another.error
    finally:
        go_on.set()
        workshop.close()


def test_an_error_of_ours_is_told_and_the_server_goes_on(pipe, demo_media, caplog):
    class Broken:
        def make(self, *given, **run) -> int:
            raise ZeroDivisionError("somewhere in /home/of/the/server")

    def take_order(portrait, driving, output, comparison, words) -> Order:
        return Broken() if words.get("seed") == "13" else order_of(demo_media, output, steps="1")

    pipes = [(pipe, load_detector("mtcnn"))]
    with serve(pipes, _options(), take_order, lambda *_: "", model="drawn-faces", port=free_port()) as address:
        client = Client(address, verbose=False)
        files = [handle_file(str(path)) for path in (demo_media.portrait, demo_media.driving)]
        with pytest.raises(
            AppError, match="Something is wrong with this program, not with what you gave it"
        ) as told:
            client.predict(*files, seed="13", api_name="/animate")
        assert "/home" not in str(told.value)
        assert "/home/of/the/server" in caplog.text
        assert Path(client.predict(*files, seed="14", api_name="/animate")).stat().st_size > 0
        client.close()
