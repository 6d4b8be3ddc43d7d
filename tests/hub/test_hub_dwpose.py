"""DWPose's files come from the Hub once, verified, and are then found without it."""

import pytest

from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub.dwpose import FILES, fetch_dwpose, find_dwpose, missing_for_pose

REPOSITORY = "yzd-v/DWPose"
CONTENT = {name: bytes(range(256)) * 20 + name.encode() for name in FILES}


def quiet(stage, done, total):
    pass


def sent(hub) -> list[str]:
    return sorted(request.path.rpartition("/")[2] for request in hub.requests if request.is_file)


@pytest.fixture
def filled(hub, client):
    hub.add(REPOSITORY, {**CONTENT, "README.md": b"a card", "another.onnx": bytes(5000)})
    return hub


def test_both_files_are_fetched_and_nothing_else(filled, notes):
    assert find_dwpose() is None
    told = []
    folder = fetch_dwpose(lambda *progress: told.append(progress))
    assert {name: (folder / name).read_bytes() for name in FILES} == CONTENT
    assert sent(filled) == sorted(FILES)
    size = sum(map(len, CONTENT.values()))
    assert ("download", size, size) in told
    assert any("Fetching DWPose from yzd-v/DWPose" in note for note in notes)


def test_a_second_run_asks_nobody(filled, client):
    folder = fetch_dwpose(quiet)
    requests = len(filled.requests)
    client(endpoint="http://127.0.0.1:9")  # where nobody listens
    assert fetch_dwpose(quiet) == find_dwpose() == folder
    assert len(filled.requests) == requests


def test_a_broken_download_goes_on_where_it_stopped(filled):
    for _ in range(6):  # the client itself tries again
        filled.cut(REPOSITORY, FILES[1], after=2000)
    with pytest.raises(UserError):
        fetch_dwpose(quiet)
    assert find_dwpose() is None
    filled.faults.clear()
    folder = fetch_dwpose(quiet)
    assert (folder / FILES[1]).read_bytes() == CONTENT[FILES[1]]


def test_what_arrives_damaged_is_fetched_again(filled):
    filled.corrupt(REPOSITORY, FILES[0])
    assert (fetch_dwpose(quiet) / FILES[0]).read_bytes() == CONTENT[FILES[0]]
    assert sent(filled) == sorted((*FILES, FILES[0]))


def test_a_repository_without_them_is_told(hub, client):
    hub.add(REPOSITORY, {FILES[0]: CONTENT[FILES[0]]})
    with pytest.raises(UserError, match=r"lacks dw-ll_ucoco_384.onnx; name a folder .* HUNYUAN_PORTRAIT_DWPOSE"):
        fetch_dwpose(quiet)
    assert sent(hub) == []


def test_no_network_is_told_in_a_sentence(client):
    client(endpoint="http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9"):
        fetch_dwpose(quiet)


def test_what_is_missing_is_known(filled, monkeypatch, tmp_path):
    pytest.importorskip("rtmlib")
    monkeypatch.delenv("HUNYUAN_PORTRAIT_DWPOSE", raising=False)
    assert "not in the Hub's cache" in missing_for_pose()
    fetch_dwpose(quiet)
    assert missing_for_pose() is None
    monkeypatch.setenv("HUNYUAN_PORTRAIT_DWPOSE", str(tmp_path))
    assert "There is no file" in missing_for_pose()
