"""The Hub on loopback, by the real client: what the tests that build on it may believe."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import HubServer

REPO = "owner/model"
LARGE = bytes(range(256)) * 4000  # 1 MB, in several pieces on its way
FILES = {"config.json": b"{}\n", "unet/weights.pth": LARGE}


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def client(hub: HubServer, tmp_path: Path) -> Callable:
    """Runs code by the real client in a process of its own, with this Hub for the Hub; what it prints is JSON."""

    def call(code: str, token: str | None = None, **variables: str) -> object:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        environment |= {"HF_TOKEN": token} if token else {}
        head = "import json\nfrom pathlib import Path\nfrom huggingface_hub import *\n"
        head += "from huggingface_hub.errors import *\n"
        done = subprocess.run(
            [sys.executable, "-c", head + code], env=environment | variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def raised(call: str) -> str:
    """Code that prints the error of `call` and its status, or null where it raises none."""
    return (
        f"try:\n    {call}\n    print('null')\n"
        "except HfHubHTTPError as error:\n"
        "    print(json.dumps([type(error).__name__, error.response.status_code]))"
    )


# -- Downloads -----------------------------------------------------------------------------------------------


def test_a_snapshot_has_the_bytes_and_is_not_fetched_twice(hub, client):
    sha = hub.add(REPO, FILES)
    code = f"print(json.dumps(snapshot_download('{REPO}')))"
    folder = Path(client(code))
    assert folder.name == sha
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert hub.file_bytes() == sum(map(len, FILES.values()))
    assert Path(client(code)) == folder
    assert hub.file_bytes() == sum(map(len, FILES.values()))


def test_a_new_commit_is_seen_and_the_old_one_is_kept(hub, client):
    old = hub.add(REPO, {"name.txt": b"old"})
    new = hub.add(REPO, {"name.txt": b"new"})
    code = f"paths = [hf_hub_download('{REPO}', 'name.txt', revision=at) for at in ('{old}', '{new}', 'main')]\n"
    assert client(code + "print(json.dumps([Path(path).read_text() for path in paths]))") == ["old", "new", "new"]


def test_metadata_say_size_and_hash_of_large_files(hub, client, tmp_path):
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "weights.pth").write_bytes(LARGE)
    (tmp_path / "model" / "config.json").write_bytes(b"{}\n")
    sha = hub.add(REPO, tmp_path / "model")
    info, tree, top = client(f"""
info = model_info("{REPO}", files_metadata=True)
siblings = {{file.rfilename: (file.size, file.blob_id, file.lfs and file.lfs.sha256) for file in info.siblings}}
trees = [
    {{file.path: hasattr(file, 'size') and (file.size, file.blob_id, file.lfs and file.lfs.sha256)
     for file in list_repo_tree("{REPO}", recursive=recursive)}} for recursive in (True, False)]
print(json.dumps([[info.sha, info.private, info.gated, siblings], *trees]))
""")
    # As `git hash-object` and `sha256sum` say.
    small = [3, "0967ef424bce6791893e9a57bb952f80fd536e93", None]
    digest = "062af9ccd890ba3d067ca7150278bcc420069bd82f6e41161029303dfd6d661e"
    assert info[:3] == [sha, False, False]
    assert info[3]["config.json"] == small
    assert info[3]["unet/weights.pth"][0] == len(LARGE)
    assert info[3]["unet/weights.pth"][2] == digest
    assert tree == info[3] | {"unet": False}
    assert top == {"config.json": small, "unet": False}


def test_a_download_goes_on_where_it_was_cut(hub, client):
    size, kept = 12 * 2**20, 10 * 2**20  # the client keeps whole pieces of 10 MiB
    content = LARGE * (size // len(LARGE)) + bytes(size % len(LARGE))
    hub.add(REPO, {"weights.pth": content})
    hub.cut(REPO, "weights.pth", after=11 * 2**20)
    path = client(f"print(json.dumps(hf_hub_download('{REPO}', 'weights.pth')))")
    assert Path(path).read_bytes() == content
    first, second = (request for request in hub.requests if request.is_file)
    assert (first.status, first.range, first.bytes_sent) == (200, None, 11 * 2**20)
    assert (second.status, second.range, second.bytes_sent) == (206, f"bytes={kept}-", size - kept)


def test_a_download_that_is_cut_again_and_again_fails(hub, client):
    hub.add(REPO, FILES)
    hub.cut(REPO, "unet/weights.pth", after=0, times=100)
    (status,) = client(f"""
from huggingface_hub import constants, file_download
file_download.time.sleep = lambda seconds: None
try:
    hf_hub_download("{REPO}", "unet/weights.pth")
except Exception as error:
    print(json.dumps([type(error).__name__]))
""")
    assert status == "RemoteProtocolError"


def test_a_corrupted_file_has_the_right_length_and_a_failing_one_none(hub, client):
    hub.add(REPO, FILES)
    hub.corrupt(REPO, "unet/weights.pth")
    path = Path(client(f"print(json.dumps(hf_hub_download('{REPO}', 'unet/weights.pth')))"))
    assert path.read_bytes() == bytes(255 - value for value in LARGE)
    hub.fail(REPO, "config.json", status=500)
    call = f"hf_hub_download('{REPO}', 'config.json')"
    assert client(raised(call)) == ["HfHubHTTPError", 500]
    assert client(raised(call)) is None  # once only


def test_what_is_not_there_is_told_apart(hub, client):
    hub.add(REPO, FILES)
    assert client(f"print(json.dumps([file_exists('{REPO}', name) for name in ('config.json', 'none')]))") == [
        True,
        False,
    ]
    for call, error in [
        (f"hf_hub_download('{REPO}', 'none')", "RemoteEntryNotFoundError"),
        (f"hf_hub_download('{REPO}', 'config.json', revision='none')", "RevisionNotFoundError"),
        (f"model_info('{REPO}', revision='{40 * 'f'}')", "RevisionNotFoundError"),
        ("model_info('owner/none')", "RepositoryNotFoundError"),
    ]:
        assert client(raised(call), token="hf_good") == [error, 404]
    assert client(raised("model_info('owner/none')")) == ["RepositoryNotFoundError", 401]


def test_gated_files_want_a_login_and_then_consent(hub, client):
    hub.add(REPO, FILES, gated=True)
    call = f"hf_hub_download('{REPO}', 'config.json')"
    assert client(f"print(json.dumps(model_info('{REPO}').gated))") == "manual"  # this much all may know
    assert client(raised(call)) == ["GatedRepoError", 401]
    assert client(raised(call), token="hf_good") == ["GatedRepoError", 403]
    hub.accepted.add(REPO)
    assert client(raised(call), token="hf_good") is None


def test_a_private_repository_is_as_if_it_were_not_there(hub, client):
    hub.add(REPO, FILES, private=True)
    for call in (f"model_info('{REPO}')", f"snapshot_download('{REPO}')"):
        assert client(raised(call)) == ["RepositoryNotFoundError", 401]
        assert client(raised(call), token="hf_other") == ["HfHubHTTPError", 401]
        assert client(raised(call), token="hf_good") is None
    assert client(f"print(json.dumps(model_info('{REPO}').private))", token="hf_good") is True


def test_outside_its_block_nobody_listens(tmp_path):
    from huggingface_hub import HfApi

    with HubServer() as server:
        server.add(REPO, FILES)
        api = HfApi(endpoint=server.url)
        assert api.model_info(REPO).id == REPO
    with pytest.raises(Exception, match=r"(?i)connect|disconnected"):
        api.model_info(REPO)


# -- Uploads -------------------------------------------------------------------------------------------------

CARD = b"---\nlicense: other\n---\n# A model\n"
UPLOADED = {"README.md": CARD, "unet/weights.safetensors": LARGE, "vae/weights.safetensors": LARGE[::-1]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, content in UPLOADED.items():
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).write_bytes(content)
    return tmp_path / "folder"


def upload(folder: Path, repo: str = "tester/model") -> str:
    return f"upload_folder(repo_id='{repo}', folder_path='{folder}')"


def test_what_is_uploaded_is_there_to_be_fetched(hub, client, folder):
    url, path = client(
        f"url = create_repo('tester/model', private=True)\n{upload(folder)}\n"
        "print(json.dumps([url, snapshot_download('tester/model')]))",
        token="hf_good",
    )
    assert url == f"{hub.url}/tester/model"
    assert hub.repositories["tester/model"].private
    files = hub.files("tester/model")
    assert files.pop(".gitattributes")  # there from the beginning, as on the Hub
    assert files == UPLOADED
    assert {name: (Path(path) / name).read_bytes() for name in UPLOADED} == UPLOADED
    sent = {request.path for request in hub.requests if request.method == "PUT"}
    assert len(sent) == 2  # the two large ones
    assert set(hub.validated) == {CARD.decode()}


def test_an_upload_that_broke_off_sends_what_is_missing(hub, client, folder):
    client("create_repo('tester/model')\nprint('null')", token="hf_good")
    hub.fail("tester/model", None, method="PUT", status=403)
    failure = f"try:\n    {upload(folder)}\nexcept Exception as error:\n    print(json.dumps(str(error)))"
    assert "unet/weights" in client(failure, token="hf_good") or "vae/weights" in client(failure, token="hf_good")
    assert list(hub.files("tester/model")) == [".gitattributes"]
    hub.requests.clear()
    assert client(raised(upload(folder)), token="hf_good") is None
    assert [request.status for request in hub.requests if request.method == "PUT"] == [200]
    assert hub.files("tester/model").items() >= UPLOADED.items()


def test_only_who_may_write_does(hub, client, folder):
    create = "create_repo('tester/model')"
    assert client(raised(create)) == ["HfHubHTTPError", 401]
    assert client(raised(create), token="hf_read") == ["HfHubHTTPError", 403]
    assert client(raised("create_repo('others/model')"), token="hf_good") == ["HfHubHTTPError", 403]
    assert client(raised("create_repo('lab/model')"), token="hf_good") is None
    assert client(raised("create_repo('lab/model')"), token="hf_good") == ["HfHubHTTPError", 409]
    assert client(raised(upload(folder, "lab/model")), token="hf_read") == ["HfHubHTTPError", 403]
    assert list(hub.files("lab/model")) == [".gitattributes"]


def test_who_one_is_and_what_one_may(hub, client):
    code = "user = whoami()\nprint(json.dumps([user['name'], user['auth']['accessToken']['role']]))"
    assert client(code, token="hf_good") == ["tester", "write"]
    assert client(code, token="hf_read") == ["tester", "read"]
    assert client(raised("whoami()"), token="hf_other") == ["HfHubHTTPError", 401]


def test_a_card_without_good_metadata_is_refused_or_warned_of(hub, client):
    check = "ModelCard(CARD).validate()\nprint('null')"
    assert client(f"CARD = {CARD.decode()!r}\n{check}") is None
    refused = "from huggingface_hub import HfApi\ntry:\n    HfApi()._validate_yaml('---\\na:\\t1\\n---\\n')\n"
    assert "tabs" in client(refused + "except ValueError as error:\n    print(json.dumps(str(error)))")
