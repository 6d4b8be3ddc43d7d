"""The page as visitors use it, in Chromium: from the upload to the result that plays, and what goes wrong."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from demo_server import FRAMES, RATE, SIDE, count_frames, has_sound, wait_until

from diffusers_hunyuan_portrait.media import VideoReader, read_image
from diffusers_hunyuan_portrait.provenance import verify

LONG = 300  # steps of a job that is to be cancelled


def upload(page, portrait: Path, driving: Path) -> None:
    """Gives both files and waits for what the page says of them."""
    for name, path in {"portrait": portrait, "driving": driving}.items():
        page.set_input_files(f"#{name} input[type=file]", path)
    for name in ("portrait", "driving"):
        page.wait_for_selector(f"#{name}-faces :is(img, [role=alert])")


def start(page, steps: int = 2, **settings: object) -> None:
    """Asks for a video of those files."""
    for name, value in {"steps": steps, **settings}.items():
        field = page.locator(f"#option-{name} :is(input, textarea)")
        if not field.is_visible():
            page.get_by_role("button", name="More settings").click()
            page.wait_for_selector("#option-decode_chunk_size input")  # the last of them
            # Gradio sets its fields once more after it has shown them; who types sees so and types again.
            page.evaluate("new Promise(done => setTimeout(done, 500))")
        field.fill(str(value))
        field.press("Tab")
        if field.input_value() != str(value):
            field.fill(str(value))
    page.click("#animate")


def wait_for(page, sentence: str) -> None:
    page.locator("#status", has_text=sentence).wait_for()


def said(page, name: str) -> str:
    return page.locator(f"#{name}").inner_text().strip()


def command_of_latest(page) -> str:
    """The command line that is shown with the result."""
    page.wait_for_selector("#results")
    if not page.locator("#command textarea").is_visible():
        page.get_by_role("button", name="How to make it again").click()
    return page.locator("#command textarea").input_value()


def wait_for_seed(page, seed: int) -> None:
    """Returns once the result of that seed is shown."""
    wait_until(lambda: f"--seed={seed}" in command_of_latest(page), f"the result of seed {seed} is shown")


def download(page, folder: Path) -> Path:
    with page.expect_download() as started:
        page.click("#download")
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


@pytest.fixture
def ready(visit, demo_media):
    """A page with the portrait and the clip."""

    def prepare():
        page = visit()
        upload(page, demo_media.portrait, demo_media.driving)
        return page

    return prepare


def test_a_portrait_and_a_clip_give_a_video_that_plays_and_says_what_it_is(ready, tmp_path):
    page = ready()
    assert said(page, "portrait-faces") == "One face was found."
    start(page, seed=5)
    page.wait_for_selector("#comparison video")
    wait_for(page, "Done in")
    for tab, name in (("Side by side", "comparison"), ("Result alone", "result")):
        page.get_by_role("tab", name=tab).click()
        player = page.locator(f"#{name} video")
        player.wait_for(state="visible")
        player.evaluate("video => { video.loop = true; return video.play(); }")
        handle = player.element_handle()
        page.wait_for_function("video => video.currentTime > 0.2 && !video.paused", arg=handle)
        page.wait_for_function("video => video.webkitAudioDecodedByteCount > 0", arg=handle)
        assert player.evaluate("video => video.duration") == pytest.approx(FRAMES / RATE, abs=0.1)
    file = download(page, tmp_path)
    assert file.suffix == ".mp4"
    assert count_frames(file) == FRAMES
    assert has_sound(file)
    clip = VideoReader(file)
    assert (clip.width, clip.height, clip.frame_rate) == (SIDE, SIDE, RATE)
    verdict = verify(file)
    assert (verdict.is_signed, verdict.is_unchanged) == (True, True)
    assert verdict.actions[0]["parameters"]["model"] == "drawn-faces"


def test_a_running_job_is_cancelled_and_another_started(ready):
    page = ready()
    start(page, LONG)
    wait_for(page, "Making the pictures (stage 3 of 4).")
    page.wait_for_selector("#bar progress")
    page.wait_for_selector("#bar img")  # the preview
    page.click("#cancel")
    wait_for(page, "Cancelled.")
    assert said(page, "bar") == ""
    assert not page.locator("#results").is_visible()
    start(page)
    page.wait_for_selector("#comparison video")
    wait_for(page, "Done in")


def test_a_waiting_job_is_cancelled_and_the_running_one_goes_on(ready):
    running, waiting = ready(), ready()
    start(running, LONG)
    wait_for(running, "Making the pictures")
    start(waiting)
    wait_for(waiting, "Next in the queue.")
    waiting.click("#cancel")
    wait_for(waiting, "Cancelled.")
    assert "Making the pictures" in said(running, "status")
    running.click("#cancel")
    wait_for(running, "Cancelled.")


def test_two_visits_at_once_have_each_its_own_result(ready, visit, demo_media, tmp_path):
    one, other = ready(), visit()
    upload(other, demo_media.two_faces, demo_media.driving)
    start(one, seed=1)
    start(other, seed=2)
    files = []
    for page, name in ((one, "one"), (other, "other")):
        page.wait_for_selector("#comparison video")
        assert page.locator("#history").is_visible()
        files.append(download(page, tmp_path / name))
    assert [VideoReader(file).width for file in files] == [SIDE, 2 * SIDE]
    commands = [command_of_latest(page) for page in (one, other)]
    assert ["--seed=1" in words for words in commands] == [True, False]
    assert ["--seed=2" in words for words in commands] == [False, True]


def test_without_a_face_the_page_says_so_and_another_portrait_is_taken(visit, demo_media):
    page = visit()
    upload(page, demo_media.no_face, demo_media.driving)
    sentence = "No face was found in the portrait of 256×256 pixels; use one that shows a face."
    assert said(page, "portrait-faces") == sentence
    start(page)
    wait_for(page, sentence)
    assert page.locator("#status [role=alert]").count() == 1
    page.locator("#portrait").get_by_label("Clear").or_(
        page.locator("#portrait").get_by_label("Remove")
    ).first.click()
    page.locator("#portrait-faces [role=alert]").wait_for(state="detached")
    page.set_input_files("#portrait input[type=file]", demo_media.portrait)
    page.wait_for_selector("#portrait-faces img")
    start(page)
    page.wait_for_selector("#comparison video")


def test_files_of_the_wrong_kind_are_named(visit, demo_media):
    page = visit()
    page.set_input_files("#portrait input[type=file]", demo_media.not_a_picture)
    page.locator("#portrait-faces [role=alert]", has_text="words.png is not a").wait_for()
    page.set_input_files("#driving input[type=file]", demo_media.not_a_clip)
    page.locator("#driving-faces [role=alert]", has_text="words.mp4 is not a").wait_for()
    assert "/" not in said(page, "portrait-faces") + said(page, "driving-faces")  # nothing of the server's folders


def test_a_clip_that_is_too_long_is_refused(visit, demo_media):
    page = visit()
    upload(page, demo_media.portrait, demo_media.long_clip)
    assert said(page, "driving-faces") == "The driving clip has 24 seconds; this page takes up to 20."


def test_a_choice_among_faces_is_obeyed_and_the_result_can_be_repeated(
    visit, demo_media, command, tmp_path, monkeypatch
):
    page = visit()
    upload(page, demo_media.two_faces, demo_media.two_faces_driving)
    for name, question in (("portrait", "Whose face is animated"), ("driving", "Whose face drives")):
        assert said(page, f"{name}-faces") == "2 faces were found, numbered from the left."
        choice = page.get_by_role("radiogroup", name=question).or_(page.locator(f"#{name}-face"))
        choice.get_by_label("number 2" if name == "portrait" else "number 1").check()
    start(page, quality=0)
    page.wait_for_selector("#comparison video")
    file = download(page, tmp_path)

    portrait, frames = read_image(demo_media.two_faces).astype(int), list(VideoReader(file))
    changes = np.abs(frames[-1] - portrait).mean(axis=-1)  # (H, W)
    # The codec keeps half of the colours' resolution; the face on the left is otherwise as it was.
    assert changes[56:230, 45:182].mean() < 4
    assert changes[56:230, 302:440].mean() > 8

    words = shlex.split(command_of_latest(page))
    settings = json.loads(page.locator("#settings textarea").input_value())
    assert (settings["portrait_face"], settings["driving_face"], settings["quality"]) == ("2", "1", 0)
    assert (settings["model"], settings["portrait"], settings["driving"]) == ("drawn-faces", "two.png", "two.mp4")
    assert words[0] == "hunyuan-portrait"
    assert f"--seed={settings['seed']}" in words
    for path in (demo_media.two_faces, demo_media.two_faces_driving):
        shutil.copy(path, tmp_path)
    file.rename(tmp_path / "by-the-page.mp4")
    monkeypatch.chdir(tmp_path)
    code, told = command(*words[1:])
    assert code == 0, told
    again = list(VideoReader(tmp_path / "animated.mp4"))
    # Numbers are summed in another order in another process, so that a colour may be rounded otherwise.
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(frames, again, strict=True)) <= 2


def test_the_history_shows_an_earlier_result_again(ready, tmp_path):
    page = ready()
    for seed in (11, 12):
        start(page, seed=seed)
        wait_for_seed(page, seed)
    latest = download(page, tmp_path)
    page.get_by_label("Results of this visit").click()
    page.get_by_role("option", name="1: portrait.png with driving.mp4").click()
    wait_for_seed(page, 11)
    earlier = download(page, tmp_path)
    assert (earlier.name, latest.name) == ("animated-1.mp4", "animated-2.mp4")
    assert earlier.read_bytes() != latest.read_bytes()


def test_files_go_with_their_visit_and_others_stay(ready, server):
    def results() -> list[str]:
        return [path.parent.name for path in server.files if path.name == "animated-1.mp4"]

    def uploads() -> set[str]:
        return {path.name for path in server.files} & {"portrait.png", "driving.mp4"}

    wait_until(lambda: not results(), "the visits of earlier tests are over")
    first = ready()
    start(first)
    first.wait_for_selector("#comparison video")
    [folder_of_first] = results()
    second = ready()  # the same files, so that they lie in the same place
    start(second)
    second.wait_for_selector("#comparison video")
    first.close()
    wait_until(lambda: len(results()) == 1, "the first visit's files are removed")
    assert folder_of_first not in results()
    assert uploads() == {"portrait.png", "driving.mp4"}
    start(second, seed=3)  # with what it has uploaded
    wait_for_seed(second, 3)
    second.close()
    wait_until(lambda: not results() and not uploads(), "the second visit's files are removed")
