"""What belongs to a visit is in its own folder, whose name nobody can guess, and goes with it."""

import pytest

from diffusers_hunyuan_portrait.demo.visits import LONGEST_SILENCE, Visits
from diffusers_hunyuan_portrait.demo.workshop import Job
from diffusers_hunyuan_portrait.errors import UserError


@pytest.fixture
def visits(tmp_path):
    return Visits(tmp_path / "visits")


def upload(visits, name="clip.mp4", folder="hash"):
    path = visits.root / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"pictures")
    return path


def test_a_session_keeps_its_visit_and_each_has_a_folder_of_its_own(visits):
    one, other = visits.of("one"), visits.of("other")
    assert visits.of("one") is one
    assert one.folder != other.folder
    for visit in (one, other):
        assert visit.folder.parent == visits.root
        assert len(visit.folder.name) >= 32
    assert "one" not in one.folder.name


def test_what_it_sent_and_made_is_removed_at_its_end(visits):
    visit, path = visits.of("one"), upload(visits)
    visits.hold("one", str(path))
    (visit.folder / "animated-1.mp4").write_bytes(b"result")
    visits.end("one")
    assert list(visits.root.iterdir()) == []
    visits.end("one")  # a browser may say so twice
    assert visits.of("one") is not visit


def test_a_file_that_another_visit_has_sent_too_stays_until_that_ends(visits):
    path = upload(visits)
    for session in ("one", "other"):
        assert visits.hold(session, str(path)) == path
    visits.end("one")
    assert path.exists()
    visits.end("other")
    assert list(visits.root.iterdir()) == []


def test_files_of_the_same_folder_that_are_of_nobody_else_stay(visits):
    path, beside = upload(visits), upload(visits, "same content, another name.mp4")
    visits.hold("one", str(path))
    visits.end("one")
    assert not path.exists()
    assert beside.exists()


def test_its_jobs_are_cancelled_at_its_end_and_no_others(visits):
    jobs = {name: Job(None) for name in ("one", "other")}
    for name, job in jobs.items():
        visits.of(name).jobs.append(job)
    visits.end("one")
    assert {name: job.state for name, job in jobs.items()} == {"one": "cancelled", "other": "waiting"}


def test_only_an_upload_is_held(visits, tmp_path):
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"of the server")
    for path in (visits.root, visits.of("one").folder, outside, visits.root / "missing.mp4"):
        with pytest.raises(UserError, match="There is no upload"):
            visits.hold("one", str(path))
    visits.end("one")
    assert outside.exists()
    assert visits.root.exists()


def test_who_was_not_heard_of_for_a_day_is_gone_when_somebody_comes(visits):
    """But not who waits for a job, however long it takes."""
    for name in ("gone", "waiting"):
        visits.of(name).seen -= LONGEST_SILENCE + 1
    visits.of("waiting").jobs.append(Job(order=None))
    visits.of("waiting").seen -= LONGEST_SILENCE + 1
    here = visits.of("here")
    assert set(visits.root.iterdir()) == {here.folder, visits.of("waiting").folder}
