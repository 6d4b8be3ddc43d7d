"""A repository with originals becomes a model in the cache, once; a converted one is fetched as it is."""

import json
import os
import shutil
import signal
from pathlib import Path
from threading import Timer

import pytest
import torch
from huggingface_hub.utils import WeakFileLock
from original_files import add_originals, size_of
from runs import small_run
from safetensors import SafetensorError

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline, convert_checkpoint
from diffusers_hunyuan_portrait.convert import checkpoint
from diffusers_hunyuan_portrait.convert.layout import PUBLISHED_FILES
from diffusers_hunyuan_portrait.convert.licences import ARCFACE, LICENCES, SVD
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub import fetching
from diffusers_hunyuan_portrait.hub import originals as room
from diffusers_hunyuan_portrait.hub.converted import choose_variant
from diffusers_hunyuan_portrait.hub.originals import PUBLISHED, HubName
from diffusers_hunyuan_portrait.loading import find_prepared, load_pipeline

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_client(client, monkeypatch):
    """Every test here is a client of the Hub, to whom nobody gave an answer."""
    monkeypatch.delenv("HUNYUAN_PORTRAIT_ACCEPT_LICENCES", raising=False)


def load(model: str, dtype: torch.dtype = torch.float32, **options) -> HunyuanPortraitPipeline:
    return load_pipeline(model, CPU, dtype, **options)


def refusal(model: str, **options) -> str:
    with pytest.raises(UserError) as error:
        load(model, **options)
    return str(error.value)


def weights_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_any_repository_of_that_shape_is_made_a_model_once(
    hub, home, client, originals, tiny_model_dir, tiny_pipeline, notes
):
    add_originals(hub, originals, "someone/mirror", place="hyportrait/")
    stages, asked = {}, []

    def accept(notice):
        asked.append(notice)
        return True

    pipe = load("someone/mirror", accept_licences=accept, on_progress=lambda *report: stages.update([report[::2]]))
    assert torch.equal(small_run(pipe), small_run(tiny_pipeline))

    # What was asked, and what was fetched: this and nothing else, once.
    total = sum(map(size_of, originals.values()))
    assert hub.file_bytes() == total
    (notice,) = asked
    assert (notice.fetch_bytes, notice.licences) == (total, LICENCES)
    assert notice.disk_bytes == pytest.approx(2 * total, rel=0.01)
    assert stages["download"] == stages["check"] == total
    assert stages["convert"] == pytest.approx(total, rel=0.01)

    # What it became, and where.
    folder = find_prepared("someone/mirror")
    assert folder.is_relative_to(home / "assets" / "diffusers-hunyuan-portrait")
    assert weights_in(folder) == weights_in(tiny_model_dir)
    assert (folder / "id_encoder" / "arcface.onnx").read_bytes() == originals[ARCFACE.repository][
        "arcface.onnx"
    ].read_bytes()
    assert pipe.id_model_path.is_relative_to(folder)
    licence_texts = [path.read_bytes() for path in folder.rglob("LICENSE*")]
    assert b"Tencent's terms\n" in licence_texts
    assert b"Stability AI's terms\n" in licence_texts
    assert notes[-1].startswith(f"The model is ready in {folder}.")
    assert "`hf cache rm model/someone/mirror`" in notes[-1]
    assert "someone/mirror" in json.loads(
        (home / "assets/diffusers-hunyuan-portrait/accepted-licences.json").read_text()
    )

    # From then on the network is not needed, nor are the originals.
    requests = len(hub.requests)
    client(endpoint="http://127.0.0.1:9")
    shutil.rmtree(home / "hub")
    load("someone/mirror")
    assert len(hub.requests) == requests
    # Another revision is another model, whose licences are known.
    client()
    commit = hub.repositories["someone/mirror"].head
    load(f"someone/mirror@{commit}", accept_licences=lambda notice: pytest.fail("asked again"))
    assert find_prepared(f"someone/mirror@{commit}") != folder


def test_whatever_stops_it_the_next_run_goes_on(hub, client, originals, monkeypatch, notes):
    """Refused, then the disk full while converting, then stopped by hand, then killed, then without network."""
    add_originals(hub, originals)
    for answer in (False, lambda notice: False):
        assert "licences" in refusal(PUBLISHED, accept_licences=answer)
        assert hub.file_bytes() == 0

    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with monkeypatch.context() as stopping:
        stopping.setattr(checkpoint, "save_file", raising(full))
        said = refusal(PUBLISHED, accept_licences=True)
    assert "No space left on device" in said
    assert "Make room there and run again; what was fetched stays." in said
    total = sum(map(size_of, originals.values()))
    assert hub.file_bytes() == total

    with monkeypatch.context() as stopping:
        stopping.setattr(checkpoint, "save_file", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            load(PUBLISHED)
    assert notes[-1] == "Stopped. What was fetched stays, and the next run goes on from there."
    folder = HubName(PUBLISHED).folder
    assert [path.name for path in folder.parent.iterdir()] == [f"{folder.name}.lock"]

    half_written = folder.with_name(f".{folder.name}.0123")
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(bytes(1000))
    requests = len(hub.requests)
    client(offline=True)
    load(PUBLISHED)
    assert len(hub.requests) == requests
    assert not half_written.exists()
    assert hub.file_bytes() == total


def test_whoever_waits_for_another_can_be_stopped(hub, originals, notes):
    add_originals(hub, originals)
    lock = HubName(PUBLISHED).folder.with_suffix(".lock")
    lock.parent.mkdir(parents=True)
    # Whoever runs the tests in the background of a script has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with WeakFileLock(lock):
        Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            load(PUBLISHED, accept_licences=True)
    assert notes[0] == f"Another process is preparing {PUBLISHED}; waiting for it."
    assert hub.file_bytes() == 0


def raising(error: BaseException):
    def fail(*words, **options):
        raise error

    return fail


# -- Refused before anything is fetched --------------------------------------------------------------------------


@pytest.fixture
def never():
    """An answer that must not be asked for."""
    return lambda notice: pytest.fail("asked though it cannot be")


def test_too_little_space_is_told_before_the_first_byte(hub, originals, never, monkeypatch):
    add_originals(hub, originals)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage._replace(free=300_000_000))
    said = refusal(PUBLISHED, accept_licences=never)
    assert f"{PUBLISHED} needs 378 MB on the disk of" in said  # 155 fetched, 155 converted, 67 to spare
    assert "300 MB are free" in said
    assert hub.file_bytes() == 0


@pytest.mark.parametrize("closed", [PUBLISHED, SVD.repository])
def test_a_closed_door_is_told_before_the_first_byte(hub, originals, never, closed):
    add_originals(hub, originals)
    hub.repositories[closed].gated = True
    assert f"open {hub.url}/{closed}, accept them there" in refusal(PUBLISHED, accept_licences=never)
    assert hub.file_bytes() == 0


@pytest.mark.parametrize("repository", [PUBLISHED, SVD.repository, ARCFACE.repository])
def test_what_a_repository_lacks_is_named(hub, originals, never, repository):
    lacking = {PUBLISHED: "dino.pth", SVD.repository: "vae/config.json", ARCFACE.repository: "arcface.onnx"}[
        repository
    ]
    smaller = {name: dict(files) for name, files in originals.items()}
    del smaller[repository][lacking]
    add_originals(hub, smaller)
    said = refusal(PUBLISHED, accept_licences=never)
    assert repository in said
    assert f"lacks {lacking};" in said


def test_a_repository_with_neither_is_told(hub):
    hub.add("someone/other", {"README.md": b"Something else."})
    said = refusal("someone/other")
    assert "someone/other holds neither a converted model" in said
    assert "Nor is there a folder models/missing" in refusal("models/missing")


def test_another_programs_config_is_passed_over(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "portrait"}')
    assert room._read_sizes(tmp_path / "config.json") is None
    (tmp_path / "config.json").write_text('{"unet": {}}')
    assert room._read_sizes(tmp_path / "config.json") == {"unet": {}}


@pytest.mark.parametrize(
    "model", ["portrait", "a/b/c", "a/b@", "a/b@../../x", "a/b@x y", "/nowhere/model", "a b/c", "a--b/c"]
)
def test_what_is_neither_folder_nor_name_is_told(model, hub):
    said = refusal(model)
    assert f"There is no model {model};" in said
    assert "a repository on the Hub, as tencent/HunyuanPortrait" in said
    assert not hub.requests


@pytest.mark.parametrize("place", ["", "hyportrait"])
def test_a_folder_of_originals_is_sent_to_convert(tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    for name in PUBLISHED_FILES:
        (tmp_path / place / name).touch()
    said = refusal(str(tmp_path))
    assert f"{tmp_path} holds original checkpoints" in said
    assert "hunyuan-portrait convert" in said


# -- Converted models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_variants(tiny_source, tiny_config, originals, tmp_path_factory) -> dict[str, Path | bytes]:
    """A converted model in a repository: its weights plainly and in half precision, both in shards."""
    folder = tmp_path_factory.mktemp("converted") / "with-variants"
    convert_checkpoint(
        tiny_source,
        folder,
        svd=tiny_source / "svd",
        config=tiny_config,
        arcface=originals[ARCFACE.repository]["arcface.onnx"],
        variant="fp16",
        max_shard_size="2MB",
    )
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors" in files
    return {**files, "unet/diffusion_pytorch_model.bin": b"a pickle", "notes.txt": b"Not fetched."}


def test_a_converted_repository_loads_with_its_onnx_file(hub, client, with_variants, tiny_pipeline, notes):
    hub.add("someone/converted", with_variants)
    pipe = load("someone/converted")
    for network in ("unet", "vae", "im_adapter", "motion_extractor", "pose_guider"):
        weights, expected = getattr(pipe, network).state_dict(), getattr(tiny_pipeline, network).state_dict()
        assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert pipe.id_model_path.is_file()
    names = {request.path.rpartition("/")[2] for request in hub.requests if request.is_file}
    assert not any("fp16" in name or name.endswith((".bin", ".txt", ".py")) for name in names)
    assert any(note.startswith("Fetching someone/converted") for note in notes)

    fetched = hub.file_bytes()
    half = load("someone/converted", torch.float16)
    assert {half.unet.dtype, half.vae.dtype, half.im_adapter.dtype} == {torch.float16}
    new = [request.bytes_sent for request in hub.requests if request.is_file and "fp16" in request.path]
    assert hub.file_bytes() - fetched == sum(new) > 0

    for settings in ({"offline": True}, {"endpoint": "http://127.0.0.1:9"}):
        client(**settings)
        requests = len(hub.requests)
        assert load("someone/converted").id_model_path.is_file()
        assert len(hub.requests) == requests


def test_a_damaged_model_in_the_cache_says_how_to_be_rid_of_it(hub, tiny_model_dir):
    files = {
        path.relative_to(tiny_model_dir).as_posix(): path for path in tiny_model_dir.rglob("*") if path.is_file()
    }
    hub.add("someone/partial", {name: path for name, path in files.items() if not name.startswith("vae/")})
    said = refusal("someone/partial")
    assert "incomplete or damaged" in said
    assert "`hf cache rm model/someone/partial`" in said


def test_only_a_variant_is_loaded_too(with_variants, tmp_path):
    for name, path in with_variants.items():
        plain = ".safetensors" in name and "fp16" not in name and not name.startswith("motion_extractor/")
        if isinstance(path, Path) and not plain:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).symlink_to(path)
    assert load(str(tmp_path)).unet.dtype == torch.float32
    assert load(str(tmp_path), torch.bfloat16).unet.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("files", "dtype", "variant"),
    [
        (["unet/{}.safetensors"], torch.float16, None),
        (["unet/{}.safetensors", "unet/{}.fp16.safetensors"], torch.float16, "fp16"),
        (["unet/{}.safetensors", "unet/{}.fp16.safetensors"], torch.float32, None),
        (["unet/{}.safetensors", "unet/{}.fp16.safetensors"], torch.bfloat16, None),
        (["unet/{}.bf16.safetensors", "vae/{}.safetensors"], torch.bfloat16, "bf16"),
        (["unet/{}.fp16.safetensors", "vae/{}.safetensors"], torch.float32, "fp16"),
        (["unet/{}.fp16-00001-of-00002.safetensors"], torch.float16, "fp16"),
        (["unet/{}-00001-of-00002.fp16.safetensors"], torch.float16, "fp16"),
        (["unet/{}-00001-of-00002.safetensors"], torch.float16, None),
        (["unet/{}.safetensors.index.fp16.json", "unet/{}.safetensors"], torch.float16, None),
    ],
)
def test_the_variant_follows_the_type_asked_for(files, dtype, variant):
    assert choose_variant([file.format("diffusion_pytorch_model") for file in files], dtype) == variant
