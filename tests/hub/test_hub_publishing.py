"""Publishing: what is on the Hub afterwards, who may, and what is said and kept where it fails."""

import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import HubServer, log_in

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.convert.card import write_card
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub import publishing
from diffusers_hunyuan_portrait.hub.publishing import check_publishing, publish

NAME = "tester/portraits"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A Hub that the client in this process is logged in to."""
    with HubServer() as server:
        log_in(server, monkeypatch, tmp_path)
        yield server


@pytest.fixture
def model(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A folder that looks like a model, with two files of weights that are quickly sent."""
    folder = tmp_path / "model"
    for name in ("README.md", "NOTICE", "model_index.json", "pipeline.py", "unet/config.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_model_dir / name, folder / name)
    (folder / "LICENSE").write_text("A licence.\n")
    (folder / "motion_extractor").mkdir()
    (folder / "motion_extractor" / WEIGHTS).write_bytes(bytes(range(256)) * 8000)
    (folder / "unet" / WEIGHTS).write_bytes(bytes(range(255, -1, -1)) * 8000)
    return folder


def sent(hub: HubServer) -> list[int]:
    """How the large files sent to the Hub were answered, zero where the connection was cut."""
    return [request.status for request in hub.requests if request.method == "PUT"]


# -- What is there afterwards --------------------------------------------------------------------------------


def test_what_is_published_is_the_folder_byte_for_byte(hub, model):
    (model / ".cache").mkdir()
    (model / ".cache" / "notes").write_text("not the model's")
    reports = []
    url = publish(model, NAME, on_progress=lambda *report: reports.append(report))
    assert url == f"{hub.url}/{NAME}"
    assert not hub.repositories[NAME].private
    shutil.rmtree(model / ".cache")
    files = hub.files(NAME)
    del files[".gitattributes"]  # the Hub's own
    assert files == contents(model)
    assert len(hub.repositories[NAME].commits) == 2  # that which made it, and one with all of it
    size = sum(map(len, files.values()))
    assert reports[-1] == ("upload", size, size)
    assert len(reports) == len(files)


def test_the_card_calls_the_model_by_its_name_on_the_hub(hub, model):
    publish(model, "portraits")
    card = hub.files(NAME)["README.md"].decode()
    assert f'from_pretrained("{NAME}", dtype=dtype)' in card
    assert f"--model {NAME}\n" in card
    assert len(re.findall(r"from_pretrained|--model", card)) == 2
    assert card.encode() == (model / "README.md").read_bytes()
    assert hub.validated == [card]  # by the Hub's own rules


def test_a_model_without_a_card_gets_one(hub, model, caplog, monkeypatch):
    monkeypatch.setattr(publishing.logger, "handlers", [caplog.handler])
    (model / "README.md").unlink()
    (model / "LICENSE").unlink()
    publish(model, NAME)
    card = hub.files(NAME)["README.md"].decode()
    assert f'from_pretrained("{NAME}"' in card
    assert "license_link: https://huggingface.co/tencent/HunyuanPortrait" in card
    assert "has no LICENSE file, but Tencent's licence wants to go along" in caplog.text


def test_a_new_version_takes_the_place_of_the_old_one(hub, model):
    publish(model, NAME)
    weights = (model / "unet" / WEIGHTS).read_bytes()
    (model / "unet" / WEIGHTS).unlink()
    (model / "unet" / "diffusion_pytorch_model-00001-of-00001.safetensors").write_bytes(weights)
    (model / "pose_guider").mkdir()
    (model / "pose_guider" / WEIGHTS).write_bytes(b"new")
    hub.requests.clear()
    publish(model, NAME)
    files = hub.files(NAME)
    del files[".gitattributes"]
    assert files == contents(model)
    assert sent(hub) == [200]  # the new weights; of the renamed ones the Hub has the content


@pytest.mark.parametrize("private", [True, False])
def test_it_is_private_where_asked_for(private, hub, model, monkeypatch):
    publish(model, NAME, private=private)
    monkeypatch.delenv("HF_TOKEN")
    api = huggingface_hub.HfApi(token=False)
    if not private:
        assert api.model_info(NAME).id == NAME
        return
    with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError):
        api.model_info(NAME)


def test_what_is_public_is_not_filled_with_what_shall_be_private(hub, model):
    hub.add(NAME, {"README.md": b"# Mine\n"})
    with pytest.raises(UserError, match=f"{NAME} is there and public; make it private in its settings"):
        publish(model, NAME, private=True)
    assert list(hub.files(NAME)) == ["README.md"]
    hub.add(NAME, {"README.md": b"# Mine\n"}, private=True)
    publish(model, NAME)  # stays as it is
    assert hub.repositories[NAME].private


@pytest.fixture
def pipe(tiny_pipeline, tmp_path: Path) -> hp.HunyuanPortraitPipeline:
    """A pipeline loaded from a folder that has all that a converted one has."""
    folder = tmp_path / "origin"
    tiny_pipeline.save_pretrained(folder)
    (folder / "id_encoder").mkdir()
    (folder / "id_encoder" / "arcface.onnx").write_bytes(b"onnx")
    (folder / "LICENSE").write_text("A licence.\n")
    write_card(folder, "out/my-model")
    return hp.HunyuanPortraitPipeline.from_pretrained(folder)


def test_a_pipeline_pushes_all_that_it_carries_with_a_card_that_is_true(hub, pipe):
    """As diffusers does it, in both ways that it has."""
    pipe.push_to_hub(NAME, variant="fp16", private=True)
    card = hub.files(NAME)["README.md"].decode()
    assert f'from_pretrained("{NAME}", dtype=dtype, variant="fp16")' in card
    assert f"--model {NAME}\n" in card
    assert "license_link: LICENSE\n" in card
    assert hub.repositories[NAME].private
    pipe.save_pretrained(pipe.id_model_path.parents[2] / "saved", push_to_hub=True, repo_id="tester/other")
    files = hub.files("tester/other")
    assert {
        "id_encoder/arcface.onnx",
        "LICENSE",
        "pipeline.py",
        "unet/diffusers_hunyuan_portrait.py",
    } < files.keys()
    assert 'from_pretrained("tester/other", dtype=dtype)' in files["README.md"].decode()


def test_a_pipeline_leaves_the_card_of_a_repository_as_it_is(hub, pipe):
    mine = '---\nlibrary_name: diffusers\n---\n# Mine\n\nfrom_pretrained("old", variant="fp16").to(device)\n'
    hub.add(NAME, {"README.md": mine.encode()})
    pipe.push_to_hub(NAME)
    assert hub.files(NAME)["README.md"].decode().split("---\n")[2] == mine.split("---\n")[2]
    assert "id_encoder/arcface.onnx" in hub.files(NAME)


def test_a_pipeline_that_carries_no_card_is_not_without_one(hub, tiny_pipeline):
    hp.HunyuanPortraitPipeline(**tiny_pipeline.components).push_to_hub(NAME)
    assert "library_name: diffusers" in hub.files(NAME)["README.md"].decode()


# -- Who may, and under which name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "full_name"),
    [("portraits", NAME), (NAME, NAME), ("Tester/portraits", NAME), ("lab/portraits", "lab/portraits")],
)
def test_a_name_is_the_users_own_or_an_organisations(name, full_name, hub):
    assert check_publishing(name) == full_name
    assert not hub.repositories  # it was only asked


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "-a", "a..b", "tester/x.git", "tester/" + 100 * "x"])
def test_what_is_no_name_is_said(name, hub):
    with pytest.raises(UserError, match="cannot be the name of a repository"):
        check_publishing(name)


def test_another_ones_name_is_refused(hub):
    with pytest.raises(
        UserError, match="tester cannot publish others/model: it would have to be under tester or lab"
    ):
        check_publishing("others/model")


def test_without_a_login_nothing_is_begun(hub, model, monkeypatch):
    before = contents(model)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(
        UserError, match="A token is needed for portraits; log in by `hf auth login` or set HF_TOKEN"
    ):
        publish(model, "portraits")
    with pytest.raises(UserError, match="The Hub does not take the token"):
        publish(model, NAME, token="hf_none")
    with pytest.raises(UserError, match="The token that tester is logged in with can only read"):
        publish(model, NAME, token=hub.read_token)
    assert not hub.repositories
    assert contents(model) == before


def test_a_token_with_rights_of_its_own_needs_one_to_write():
    def token(*rights: str) -> dict:
        scoped = [{"entity": {"type": "user", "name": "tester"}, "permissions": list(rights)}]
        return {"role": "fineGrained", "fineGrained": {"global": ["discussion.write"], "scoped": scoped}}

    assert publishing._may_write(token("repo.content.read", "repo.write"))
    assert not publishing._may_write(token("repo.content.read"))


def test_a_write_that_the_hub_refuses_is_told_with_its_reason(hub, model, monkeypatch):
    """Rights that cannot be seen beforehand, such as those of an organisation's members."""
    hub.organisations.append("closed")
    hub.closed.add("closed")
    with pytest.raises(UserError, match=r"does not let this account .*closed/model \(.*rights to create.*\)"):
        publish(model, "closed/model")


def test_a_repository_with_something_else_is_left_alone(hub, model):
    hub.add(NAME, {"model_index.json": b"{}", "unet/config.json": b"{}", "README.md": b"# Other\n"})
    with pytest.raises(UserError, match=f"{NAME} is there and holds something else; give another name"):
        publish(model, NAME)
    assert len(hub.repositories[NAME].commits) == 1


def test_only_models_are_published(hub, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a converted model"):
        publish(tmp_path / "empty", NAME)
    with pytest.raises(UserError, match="There is no model"):
        publish(tmp_path / "none", NAME)
    assert not hub.repositories


# -- Where it breaks off -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "private"), [("cut", False), ("refused", True)])
def test_an_upload_that_broke_off_goes_on(fault, private, hub, model, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the client's own attempts
    if fault == "cut":
        hub.cut(NAME, None, after=10**6, method="PUT", skip=1, times=10)
    else:
        hub.fail(NAME, None, status=403, method="PUT", skip=1)
    with pytest.raises(UserError) as caught:
        publish(model, NAME, private=private)
    said, command = str(caught.value), f"hf upload {NAME} {model}" + (" --private" if private else "")
    assert "\n" not in said
    assert said.endswith(f"{model} is kept: run the same again to go on, or `{command}`.")
    assert list(hub.files(NAME)) == [".gitattributes"]  # nothing half is seen
    hub.faults.clear()
    hub.requests.clear()
    publish(model, NAME, private=private)
    assert sent(hub) == [200]  # the one that was missing
    assert hub.files(NAME).items() >= contents(model).items()


def test_a_commit_that_fails_is_told(hub, model):
    hub.fail(NAME, None, status=500, method="COMMIT")
    with pytest.raises(UserError, match=f"in trouble .*500.*{model} is kept: run the same again"):
        publish(model, NAME)
    hub.requests.clear()
    publish(model, NAME)
    assert not sent(hub)


def test_a_card_that_the_hub_does_not_take_is_told(hub, model):
    (model / "README.md").write_text("---\nlicense_link: nowhere\n---\n")
    with pytest.raises(UserError, match=r"broke off: Invalid metadata in README.md.*is kept"):
        publish(model, NAME)


def test_without_a_network_it_is_said(hub, model, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        publish(model, NAME)


def test_an_interrupt_says_how_to_go_on(hub, model, caplog, monkeypatch):
    monkeypatch.setattr(publishing.logger, "handlers", [caplog.handler])

    def interrupt(*report: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(model, NAME, on_progress=interrupt)
    assert "Stopped." in caplog.text
    assert "run the same again to go on" in caplog.text
