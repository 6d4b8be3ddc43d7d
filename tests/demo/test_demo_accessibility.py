"""Whoever uses the page by keyboard or screen reader: axe's rules, labels, focus; and pictures to look at."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from demo_server import wait_until
from PIL import Image
from real_parts import part

# Of Gradio's own parts, which cannot be mended here: what axe finds there, by rule and component. Not to grow.
KNOWN = Path(__file__).with_name("gradio_violations.json")
WIDTHS, THEMES = (360, 1440), ("light", "dark")
# The nearest name of ours, or Gradio's, above an element: what the component is called in the list.
COMPONENT = """element => {
    const named = element.closest("#portrait, #driving, #comparison, #result, #history, #download, [id^=option-],"
        + "#portrait-face, #driving-face, #command, #settings, #more-settings, #again, #status, #bar, #notice");
    return named ? named.id : element.closest("footer") ? "footer" : "page";
}"""
# Resolves when nothing moves any more, but for what always does; what was stopped on its way never says so.
MOVED = """Promise.race([
    Promise.all(document.getAnimations().filter(animation => animation.effect.getTiming().iterations < 9)
        .map(animation => animation.finished.catch(() => 0))),
    new Promise(resolve => setTimeout(resolve, 5000)),
])"""


@pytest.fixture(scope="module")
def axe() -> str:
    return part("axe-core", "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe: str) -> set[tuple[str, str, str]]:
    """Rule, component and markup of each serious or critical violation."""
    page.evaluate(axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return {
        (violation["id"], page.eval_on_selector(node["target"][-1], COMPONENT), node["html"])
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    }


def states(page, media) -> Iterator[str]:
    """Brings the page from one state to the next; gives their names."""
    page.get_by_role("button", name="More settings").click()
    page.wait_for_selector("#option-strength input")
    yield "empty"
    page.get_by_role("button", name="More settings").click()
    page.set_input_files("#portrait input[type=file]", media.no_face)
    page.set_input_files("#driving input[type=file]", media.two_faces_driving)
    page.wait_for_selector("#portrait-faces [role=alert]")
    page.wait_for_selector("#driving-face [type=radio]")
    yield "no-face"
    page.locator("#portrait").get_by_label("Clear").or_(
        page.locator("#portrait").get_by_label("Remove")
    ).first.click()
    page.wait_for_selector("#portrait input[type=file]", state="attached")
    page.set_input_files("#portrait input[type=file]", media.two_faces)
    page.wait_for_selector("#portrait-face [type=radio]")
    page.locator("#option-steps input").fill("300")
    page.click("#animate")
    page.wait_for_selector("#bar img")
    yield "running"
    page.click("#cancel")
    page.locator("#status", has_text="Cancelled.").wait_for()
    page.locator("#option-steps input").fill("4")
    page.click("#animate")
    page.wait_for_selector("#comparison video")
    page.get_by_role("button", name="How to make it again").click()
    page.wait_for_selector("#settings textarea")
    page.wait_for_function("document.querySelector('#comparison video').readyState >= 2")
    yield "done"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_serious_violation_but_those_known_of_gradio(visit, demo_media, axe, artefacts, width, theme):
    page, known = (
        visit(width, theme),
        {(entry["rule"], entry["component"]) for entry in json.loads(KNOWN.read_text())},
    )
    new = []
    for state in states(page, demo_media):
        # No finger or mouse over anything, and no movement, when it is looked at.
        page.mouse.move(0, 0)
        page.evaluate(MOVED)
        page.screenshot(path=artefacts / f"page-{width}-{theme}-{state}.png", full_page=True)
        new += [(state, *one) for one in sorted(violations(page, axe)) if one[:2] not in known]
        # Nothing sticks out, so that nobody has to scroll sideways.
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state
    assert new == []


def test_every_field_has_a_label(visit, demo_media):
    page = visit()
    page.get_by_role("button", name="More settings").click()
    page.set_input_files("#portrait input[type=file]", demo_media.two_faces)
    page.set_input_files("#driving input[type=file]", demo_media.two_faces_driving)
    page.wait_for_selector("#driving-face [type=radio]")
    page.wait_for_selector("#portrait-face [type=radio]")
    fields = page.evaluate("""[...document.querySelectorAll("input, select, textarea")]
        .filter(field => field.offsetParent !== null && field.type !== "file")
        .map(field => [field.outerHTML,
            field.ariaLabel || [...field.labels].map(label => label.innerText).join(" ").trim()])""")
    assert len(fields) >= 25
    assert [markup for markup, label in fields if not label] == []


def press_tab_until(page, selector: str) -> None:
    """Moves on by keyboard alone."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} is not reached by the tabulator key.")


def choose_file_by_enter(page, path: Path) -> None:
    """Presses Enter where the focus is, until the browser asks for a file: Gradio may miss the first."""
    from playwright.sync_api import TimeoutError as NotYet

    for _ in range(10):
        try:
            with page.expect_file_chooser(timeout=3000) as chooser:
                page.keyboard.press("Enter")
        except NotYet:
            continue
        chooser.value.set_files(path)
        return
    pytest.fail(f"Enter does not ask for {path.name}.")


def looks(page, selector: str) -> np.ndarray:
    """A picture of an element with a margin."""
    box = page.locator(selector).first.bounding_box()
    clip = {"x": box["x"] - 4, "y": box["y"] - 4, "width": box["width"] + 8, "height": box["height"] + 8}
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")).astype(
        int
    )


def test_a_video_is_made_and_cancelled_by_keyboard_alone(visit, demo_media):
    page = visit()
    for name, path in (("portrait", demo_media.portrait), ("driving", demo_media.driving)):
        upload = f"#{name} button[aria-label$='file here to upload']"
        page.wait_for_selector(upload)
        press_tab_until(page, upload)
        choose_file_by_enter(page, path)
        page.wait_for_selector(f"#{name}-faces img")
    press_tab_until(page, "#option-steps input")
    page.keyboard.press("Control+a")
    page.keyboard.type("300")
    press_tab_until(page, "#animate")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="Making the pictures").wait_for()
    press_tab_until(page, "#cancel")
    page.keyboard.press("Space")
    page.locator("#status", has_text="Cancelled.").wait_for()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    "selector",
    [
        "#animate",
        "#cancel",
        "#option-steps input",
        "#option-head input",
        "#option-crop_only input",
        "#portrait button",
    ],
)
def test_where_the_focus_is_can_be_seen(visit, selector, theme):
    page = visit(theme=theme)
    wait_until(lambda: page.locator(selector).count() > 0, selector)
    before = looks(page, selector)
    press_tab_until(page, selector)
    page.evaluate(MOVED)
    after = looks(page, selector)
    assert after.shape == before.shape
    # More than the cursor in a field: an outline or a shadow is at least as long as the element is wide.
    assert (np.abs(after - before).max(axis=-1) > 24).sum() >= before.shape[1] - 8
