"""Files of the Hub arrive whole in the client's cache, go on where they stopped, and fail in a sentence."""

import hashlib
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hub_server import Blob
from huggingface_hub import constants, hf_hub_download, scan_cache_dir

from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub import fetching
from diffusers_hunyuan_portrait.hub.fetching import check_space, fetch_all, keep_revision, list_files

REPOSITORY = "someone/files"
WEIGHTS = np.random.default_rng(0).bytes(300_000)
NOTE = b"a file of Git's own\n"
FILES = {"weights.bin": WEIGHTS, "folder/note.txt": NOTE}


@pytest.fixture(autouse=True)
def filled(hub, client, monkeypatch):
    """The Hub with a repository, and this process its client, which loses less than 10 kB where it is stopped."""
    hub.add(REPOSITORY, FILES)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)


class Reports(list):
    """What progress is told."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.append((stage, done, total))

    def last(self, stage: str) -> tuple[int, int]:
        return next((done, total) for name, done, total in reversed(self) if name == stage)


def fetch(*names: str, repository: str = REPOSITORY, revision: str = "main") -> dict[str, Path]:
    files = list_files(repository, revision)
    wanted = [files[name] for name in names or FILES]
    return {file.name: path for file, path in fetch_all(wanted, Reports()).items()}


def refusal(*names: str, **which: str) -> str:
    with pytest.raises(UserError) as error:
        fetch(*names, **which)
    return str(error.value)


def gets(hub, name: str) -> list[tuple[int, int, str | None]]:
    return [
        (request.status, request.bytes_sent, request.range)
        for request in hub.requests
        if request.is_file and request.path.endswith(name)
    ]


def test_files_are_where_the_client_itself_finds_them(hub, home):
    files = list_files(REPOSITORY, "main")
    assert files["weights.bin"].digest == hashlib.sha256(WEIGHTS).hexdigest()
    reports = Reports()
    paths = fetch_all(files.values(), reports)
    keep_revision(files["weights.bin"], "main")
    assert {file.name: path.read_bytes() for file, path in paths.items()} == FILES
    size = len(WEIGHTS) + len(NOTE)
    assert reports.last("download") == reports.last("check") == (size, size)
    assert hub.file_bytes() == size
    for file, path in paths.items():
        found = hf_hub_download(REPOSITORY, file.name)
        assert Path(found).samefile(path)
    assert hub.file_bytes() == size
    (cached,) = scan_cache_dir(home / "hub").repos
    assert (cached.repo_id, cached.size_on_disk) == (REPOSITORY, size)
    assert list(cached.refs) == ["main"]


def test_files_that_the_client_fetched_before_are_not_fetched_again(hub):
    hf_hub_download(REPOSITORY, "weights.bin")
    fetch()
    assert len(gets(hub, "weights.bin")) == 1


def test_a_broken_connection_is_taken_up_within_the_run(hub):
    hub.cut(REPOSITORY, "weights.bin", after=100_000)
    assert fetch()["weights.bin"].read_bytes() == WEIGHTS
    assert gets(hub, "weights.bin") == [(200, 100_000, None), (206, 200_000, "bytes=100000-")]


def test_the_next_run_fetches_the_rest_alone(hub):
    hub.cut(REPOSITORY, "weights.bin", after=100_000)
    hub.fail(REPOSITORY, "weights.bin", status=503)
    assert "answers 503" in refusal()
    before = hub.file_bytes()
    (file,) = [file for file in list_files(REPOSITORY, "main").values() if file.missing_bytes]
    assert (file.name, file.missing_bytes) == ("weights.bin", 200_000)
    assert fetch()["weights.bin"].read_bytes() == WEIGHTS
    assert hub.file_bytes() - before == 200_000


def test_what_arrives_damaged_is_fetched_once_more(hub, notes):
    hub.corrupt(REPOSITORY, "weights.bin")
    assert fetch()["weights.bin"].read_bytes() == WEIGHTS
    assert notes == ["weights.bin of someone/files arrived damaged; it is fetched once more."]


@pytest.mark.parametrize("name", FILES)
def test_what_arrives_damaged_again_is_thrown_away_and_told(hub, home, name):
    hub.corrupt(REPOSITORY, name, times=2)
    assert f"{name} of someone/files arrived damaged 2 times" in refusal(name)
    assert not list(home.rglob("*.incomplete"))
    assert not [path for path in home.rglob("blobs/*") if path.is_file()]
    assert fetch(name)[name].read_bytes() == FILES[name]


def test_a_file_damaged_in_the_cache_is_fetched_anew(hub):
    path = fetch()["weights.bin"]
    path.resolve().write_bytes(bytes(len(WEIGHTS)))
    assert fetch()["weights.bin"].read_bytes() == WEIGHTS
    assert len(gets(hub, "weights.bin")) == 2


@pytest.mark.parametrize("content", [bytes(400_000), b"x" * 10])
def test_a_part_that_is_not_the_files_does_no_harm(hub, content):
    file = list_files(REPOSITORY, "main")["weights.bin"]
    file.partial.parent.mkdir(parents=True)
    file.partial.write_bytes(content)
    assert fetch()["weights.bin"].read_bytes() == WEIGHTS
    assert not file.partial.exists()


# -- What is told -------------------------------------------------------------------------------------------------


def test_a_gated_repository_says_where_to_ask(hub, client):
    hub.add("someone/gated", FILES, gated=True)
    for token in (None, hub.token):
        client(token=token)
        said = refusal(repository="someone/gated")
        assert f"open {hub.url}/someone/gated" in said
        assert "`hf auth login`" in said
    hub.accepted.add("someone/gated")
    assert fetch(repository="someone/gated")["weights.bin"].read_bytes() == WEIGHTS


def test_a_private_repository_wants_a_token(hub, client, home):
    hub.add("someone/private", FILES, private=True)
    said = refusal(repository="someone/private")
    assert "There is no repository someone/private" in said
    assert "private" in said
    assert "HF_TOKEN" in said
    home.mkdir(exist_ok=True)
    (home / "token").write_text(hub.token)  # as `hf auth login` leaves it
    assert fetch(repository="someone/private")["weights.bin"].read_bytes() == WEIGHTS
    client(token="hf_wrong")
    assert "does not take the token" in refusal(repository="someone/private")


def test_what_is_not_there_is_named(hub, client):
    assert f"There is no repository someone/nothing on {hub.url}" in refusal(repository="someone/nothing")
    client(token=hub.token)
    assert "There is no repository someone/nothing" in refusal(repository="someone/nothing")
    assert "someone/files has no revision feature/x;" in refusal(revision="feature/x")
    files = list_files(REPOSITORY, "main")
    hub.repositories[REPOSITORY].commits[files["weights.bin"].commit] = {}
    with pytest.raises(UserError, match=r"someone/files has no file folder/note\.txt;"):
        fetch_all(files.values(), Reports())


@pytest.mark.parametrize(("status", "words"), [(500, "is in trouble"), (403, "does not let this account")])
def test_an_error_of_the_hub_is_told(hub, status, words):
    hub.fail(REPOSITORY, "weights.bin", status=status, times=2)
    assert words in refusal()


def test_a_hub_that_cannot_be_reached_is_told(client):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        client(endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")  # bound, but nobody listens
        said = refusal()
    assert "cannot be reached" in said
    assert "check it and run again" in said


def test_a_server_that_is_no_hub_is_told(client):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Log in to this network</html>")

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        client(endpoint=f"http://127.0.0.1:{server.server_port}")
        assert "does not answer as a Hub does" in refusal()
        server.shutdown()


def test_a_name_that_leads_out_of_the_cache_is_refused(monkeypatch):
    monkeypatch.setattr(Blob, "oid", "../../elsewhere")
    assert "by no hash; check HF_ENDPOINT" in refusal()


def test_offline_the_cache_is_all_there_is(hub, client):
    client(offline=True)
    assert "HF_HUB_OFFLINE is set" in refusal()
    client()
    fetch("weights.bin")
    keep_revision(list_files(REPOSITORY, "main")["weights.bin"], "main")
    asked = len(hub.requests)
    client(offline=True)
    assert list(list_files(REPOSITORY, "main")) == ["weights.bin"]
    assert fetch("weights.bin")["weights.bin"].read_bytes() == WEIGHTS
    assert len(hub.requests) == asked


def test_with_the_hub_gone_the_cache_is_gone_on_with(hub, client):
    fetch("weights.bin")
    file = list_files(REPOSITORY, "main")["weights.bin"]
    client(endpoint="http://127.0.0.1:9")
    assert list(list_files(REPOSITORY, file.commit)) == ["weights.bin"]


# -- The disk -----------------------------------------------------------------------------------------------------


def test_too_little_space_is_told_with_both_sizes(tmp_path, monkeypatch):
    free = fetching.shutil.disk_usage(tmp_path).free
    with pytest.raises(UserError) as error:
        check_space("someone/files", [(tmp_path / "a" / "b", free // 2 + 1), (tmp_path / "c", free // 2 + 1)])
    said = str(error.value)
    assert f"someone/files needs {(free + 2**26) / 1e9:.1f} GB on the disk of {tmp_path}" in said
    assert "HF_HOME" in said
    check_space("someone/files", [(tmp_path, 1000)])


def test_a_disk_that_fills_up_is_told(home):
    file = list_files(REPOSITORY, "main")["weights.bin"]
    file.partial.parent.mkdir(parents=True)
    file.partial.symlink_to("/dev/full")  # takes no byte, for lack of space
    said = refusal()
    assert "no space left" in said
    assert "run again to go on" in said
    file.partial.unlink()
    assert fetch()["weights.bin"].read_bytes() == WEIGHTS


def test_a_cache_that_cannot_be_written_is_told(client, tmp_path):
    (tmp_path / "file").touch()
    client(home=tmp_path / "file")
    assert "cannot be written (Not a directory); set HF_HOME" in refusal()


def test_a_bug_is_no_sentence(monkeypatch):
    monkeypatch.setattr(fetching, "http_get", lambda *words, **options: {}["bug"])
    with pytest.raises(KeyError):
        fetch()
