"""The Hub on loopback, by the real client: what the tests that build on it may believe."""

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import HubServer
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

REPO = "owner/model"
LARGE = bytes(range(256)) * 4000  # 1 MB, in several pieces on its way
FILES = {"config.json": b"{}\n", "unet/weights.pth": LARGE}


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def api(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HfApi]:
    """The client with this Hub for the Hub, a token or none, and a cache of its own."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)

    def make(token: str | bool = False) -> HfApi:
        return HfApi(endpoint=hub.url, token=token)

    return make


def status_of(error: type[HfHubHTTPError], call: Callable, *args: object, **options: object) -> int:
    with pytest.raises(error) as caught:
        call(*args, **options)
    assert caught.type is error
    return caught.value.response.status_code


# -- Downloads -----------------------------------------------------------------------------------------------


def test_a_snapshot_has_the_bytes_and_is_not_fetched_twice(hub, api):
    sha = hub.add(REPO, FILES)
    folder = Path(api().snapshot_download(REPO))
    assert folder.name == sha
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert hub.file_bytes() == sum(map(len, FILES.values()))
    assert Path(api().snapshot_download(REPO)) == folder
    assert hub.file_bytes() == sum(map(len, FILES.values()))


def test_a_new_commit_is_seen_and_the_old_one_is_kept(hub, api):
    old = hub.add(REPO, {"name.txt": b"old"})
    new = hub.add(REPO, {"name.txt": b"new"})
    for revision, content in [(old, "old"), (new, "new"), ("main", "new")]:
        assert Path(api().hf_hub_download(REPO, "name.txt", revision=revision)).read_text() == content


def test_metadata_say_size_and_hash_of_large_files(hub, api, tmp_path):
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "weights.pth").write_bytes(LARGE)
    (tmp_path / "model" / "config.json").write_bytes(b"{}\n")
    sha = hub.add(REPO, tmp_path / "model")
    info = api().model_info(REPO, files_metadata=True)
    assert (info.sha, info.private, info.gated) == (sha, False, False)
    small, large = info.siblings
    # As `git hash-object` and `sha256sum` say.
    blob_id = "0967ef424bce6791893e9a57bb952f80fd536e93"
    digest = "062af9ccd890ba3d067ca7150278bcc420069bd82f6e41161029303dfd6d661e"
    assert (small.rfilename, small.size, small.blob_id, small.lfs) == ("config.json", 3, blob_id, None)
    assert (large.rfilename, large.size) == ("unet/weights.pth", len(LARGE))
    assert (large.lfs.sha256, large.lfs.size) == (digest, len(LARGE))
    tree = list(api().list_repo_tree(REPO, recursive=True))
    assert [entry.path for entry in tree] == ["config.json", "unet", "unet/weights.pth"]
    assert (tree[0].size, tree[0].blob_id, tree[0].lfs) == (3, blob_id, None)
    assert (tree[2].size, tree[2].blob_id, tree[2].lfs) == (len(LARGE), large.blob_id, large.lfs)
    assert [entry.path for entry in api().list_repo_tree(REPO)] == ["config.json", "unet"]
    assert [entry.path for entry in api().list_repo_tree(REPO, "unet")] == ["unet/weights.pth"]


def test_a_download_goes_on_where_it_was_cut(hub, api):
    size, kept = 12 * 2**20, 10 * 2**20  # the client keeps whole pieces of 10 MiB
    content = LARGE * (size // len(LARGE)) + bytes(size % len(LARGE))
    hub.add(REPO, {"weights.pth": content})
    hub.cut(REPO, "weights.pth", after=11 * 2**20)
    assert Path(api().hf_hub_download(REPO, "weights.pth")).read_bytes() == content
    first, second = (request for request in hub.requests if request.is_file)
    assert (first.status, first.range, first.bytes_sent) == (200, None, 11 * 2**20)
    assert (second.status, second.range, second.bytes_sent) == (206, f"bytes={kept}-", size - kept)


def test_a_download_that_is_cut_again_and_again_fails(hub, api, monkeypatch):
    hub.add(REPO, FILES)
    hub.cut(REPO, "unet/weights.pth", after=0, times=100)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(Exception, match="peer closed connection without sending complete message body"):
        api().hf_hub_download(REPO, "unet/weights.pth")


def test_a_corrupted_file_has_the_right_length_and_a_failing_one_none(hub, api):
    hub.add(REPO, FILES)
    hub.corrupt(REPO, "unet/weights.pth")
    path = Path(api().hf_hub_download(REPO, "unet/weights.pth"))
    assert path.read_bytes() == bytes(255 - value for value in LARGE)
    hub.fail(REPO, "config.json", status=500)
    assert status_of(HfHubHTTPError, api().hf_hub_download, REPO, "config.json") == 500
    assert api().hf_hub_download(REPO, "config.json")  # once only


def test_what_is_not_there_is_told_apart(hub, api):
    hub.add(REPO, FILES)
    assert [api().file_exists(REPO, name) for name in ("config.json", "none")] == [True, False]
    known = api("hf_good")
    assert status_of(RemoteEntryNotFoundError, known.hf_hub_download, REPO, "none") == 404
    assert status_of(RevisionNotFoundError, known.hf_hub_download, REPO, "config.json", revision="none") == 404
    assert status_of(RevisionNotFoundError, known.model_info, REPO, revision=40 * "f") == 404
    assert status_of(RepositoryNotFoundError, known.model_info, "owner/none") == 404
    assert status_of(RepositoryNotFoundError, api().model_info, "owner/none") == 401


def test_gated_files_want_a_login_and_then_consent(hub, api):
    hub.add(REPO, FILES, gated=True)
    assert api().model_info(REPO).gated == "manual"  # this much all may know
    assert status_of(GatedRepoError, api().hf_hub_download, REPO, "config.json") == 401
    assert status_of(GatedRepoError, api("hf_good").hf_hub_download, REPO, "config.json") == 403
    hub.accepted.add(REPO)
    assert Path(api("hf_good").hf_hub_download(REPO, "config.json")).read_bytes() == FILES["config.json"]


def test_a_private_repository_is_as_if_it_were_not_there(hub, api):
    hub.add(REPO, FILES, private=True)
    for method in ("model_info", "snapshot_download"):
        assert status_of(RepositoryNotFoundError, getattr(api(), method), REPO) == 401
        assert status_of(HfHubHTTPError, getattr(api("hf_other"), method), REPO) == 401
        assert getattr(api("hf_good"), method)(REPO)
    assert api("hf_good").model_info(REPO).private is True


def test_outside_its_block_nobody_listens():
    with HubServer() as server:
        server.add(REPO, FILES)
        api = HfApi(endpoint=server.url, token=False)
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


def sent_objects(hub: HubServer) -> list[int]:
    """How the LFS files sent to the Hub were answered."""
    return [request.status for request in hub.requests if request.method == "PUT"]


def test_what_is_uploaded_is_there_to_be_fetched(hub, api, folder):
    client = api("hf_good")
    assert client.create_repo("tester/model", private=True) == f"{hub.url}/tester/model"
    assert hub.repositories["tester/model"].private
    client.upload_folder(repo_id="tester/model", folder_path=folder)
    files = hub.files("tester/model")
    assert files.pop(".gitattributes")  # there from the beginning, as on the Hub
    assert files == UPLOADED
    path = Path(client.snapshot_download("tester/model"))
    assert {name: (path / name).read_bytes() for name in UPLOADED} == UPLOADED
    assert sent_objects(hub) == [200, 200]  # the two large ones
    assert set(hub.validated) == {CARD.decode()}


def test_an_upload_that_broke_off_sends_what_is_missing(hub, api, folder):
    client = api("hf_good")
    client.create_repo("tester/model")
    hub.fail("tester/model", None, method="PUT", status=403)
    with pytest.raises(RuntimeError, match="Error while uploading"):
        client.upload_folder(repo_id="tester/model", folder_path=folder)
    assert list(hub.files("tester/model")) == [".gitattributes"]
    hub.requests.clear()
    client.upload_folder(repo_id="tester/model", folder_path=folder)
    assert sent_objects(hub) == [200]
    assert hub.files("tester/model").items() >= UPLOADED.items()


def test_only_who_may_write_does(hub, api, folder):
    assert status_of(HfHubHTTPError, api().create_repo, "tester/model") == 401
    assert status_of(HfHubHTTPError, api("hf_read").create_repo, "tester/model") == 403
    assert status_of(HfHubHTTPError, api("hf_good").create_repo, "others/model") == 403
    api("hf_good").create_repo("lab/model")
    assert status_of(HfHubHTTPError, api("hf_good").create_repo, "lab/model") == 409
    assert api("hf_good").create_repo("lab/model", exist_ok=True) == f"{hub.url}/lab/model"
    upload = api("hf_read").upload_folder
    assert status_of(HfHubHTTPError, upload, repo_id="lab/model", folder_path=folder) == 403
    assert list(hub.files("lab/model")) == [".gitattributes"]


def test_who_one_is_and_what_one_may(hub, api):
    for token, role in [("hf_good", "write"), ("hf_read", "read")]:
        user = api(token).whoami()
        assert (user["name"], user["auth"]["accessToken"]["role"]) == ("tester", role)
    assert status_of(HfHubHTTPError, api("hf_other").whoami) == 401


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ("a: [1", "YAML"),
        ("license: 3", '"license"'),
        ("license: other\nlicense_link: licences/here.txt", '"license_link"'),
        ("base_model: [none]", '"base_model"'),
    ],
)
def test_a_card_that_the_hub_would_not_have_is_refused_before_anything_is_sent(metadata, named, hub, api, folder):
    client = api("hf_good")
    client.create_repo("tester/model")
    (folder / "README.md").write_text(f"---\n{metadata}\n---\n")
    with pytest.raises(ValueError, match=f"Invalid metadata in README.md.*\n.*{named}"):
        client.upload_folder(repo_id="tester/model", folder_path=folder)
    assert list(hub.files("tester/model")) == [".gitattributes"]
    assert not sent_objects(hub)
