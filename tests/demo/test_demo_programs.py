"""What programs can ask the page for, and what nobody may: sentences, limits, and files by their path."""

import os
from pathlib import Path

import httpx
import pytest
from demo_server import PATIENCE, Server, count_frames, has_sound, wait_until
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import diffusers_hunyuan_portrait

# The square is small, so that a job takes a second or two.
QUICK = {"steps": 1, "height": "64", "width": "64", "seed": "1"}


@pytest.fixture(scope="module")
def client(server):
    """A program's visit."""
    opened = Client(server.address, verbose=False)
    yield opened
    opened.close()


@pytest.fixture
def ask(client, demo_media, tmp_path):
    """Asks for a video; gives its path."""

    def call(portrait: Path | None = None, driving: Path | None = None, **settings) -> Path:
        files = [
            handle_file(str(path)) for path in (portrait or demo_media.portrait, driving or demo_media.driving)
        ]
        return Path(client.predict(*files, **{**QUICK, **settings}, api_name="/animate"))

    return call


def test_a_program_gets_the_whole_video_with_its_sound(ask):
    video = ask()
    assert count_frames(video) == 12
    assert has_sound(video)


BAD_SETTINGS = [
    {"steps": 0},
    {"steps": 20000},
    {"motion_scale": -1},
    {"steps": 2.5},
    {"crop": "sideways"},
    {"head": "elsewhere"},
    {"loop": 0},
    {"appearance_guidance_scale": "lots"},
    {"guidance_interval": "3"},
    {"height": "100"},
    {"height": "tall"},
    {"window_size": 3, "window_overlap": 3},
    {"strength": 0},
    {"quality": "99"},
    {"seed": "-3"},
    {"start": "soon"},
    {"background": "loud"},
    {"expression_only": True, "head": "relative"},
    {"portrait_face": "7"},
]


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=str)
def test_a_wrong_setting_is_told_in_the_sentence_of_the_command_line(
    ask, command, demo_media, monkeypatch, settings
):
    with pytest.raises(AppError) as refused:
        ask(**settings)
    words = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in (QUICK | settings).items()
    ]
    check_command_line(command, monkeypatch, refused, demo_media.portrait, demo_media.driving, *words)


@pytest.mark.parametrize(
    ("portrait", "driving"),
    [
        ("no_face", "driving"),
        ("not_a_picture", "driving"),
        ("portrait", "not_a_clip"),
        ("driving", "driving"),
        ("portrait", "not_a_picture"),
    ],
)
def test_a_wrong_file_is_told_in_the_sentence_of_the_command_line(
    ask, command, demo_media, monkeypatch, portrait, driving
):
    portrait, driving = getattr(demo_media, portrait), getattr(demo_media, driving)
    with pytest.raises(AppError) as refused:
        ask(portrait, driving)
    check_command_line(command, monkeypatch, refused, portrait, driving)


def check_command_line(command, monkeypatch, refused, portrait: Path, driving: Path, *words: str) -> None:
    monkeypatch.chdir(portrait.parent)
    files = [portrait.name, driving.name, "--output", "never.mp4", "--model", "drawn-faces"]
    code, said = command("animate", *files, *words)
    assert code == 2, said
    sentence = str(refused.value)
    assert sentence in " ".join(said.replace("│", " ").split())  # in a box, of what the parser refuses
    assert len(sentence) > 20


def test_after_all_that_the_server_goes_on(ask):
    assert count_frames(ask()) == 12


# -- Limits ------------------------------------------------------------------------------------------------------


def test_an_upload_that_is_too_large_is_refused(server):
    answer = httpx.post(
        f"{server.address}/gradio_api/upload",
        files={"files": ("large.mp4", os.urandom(2**20 + 1))},
        timeout=PATIENCE,
    )
    assert answer.status_code == 413
    assert not any(path.name == "large.mp4" for path in server.files)


def test_a_clip_that_is_too_long_is_refused(ask, demo_media):
    with pytest.raises(AppError, match=r"The driving clip has 24 seconds; this page takes up to 20\."):
        ask(driving=demo_media.long_clip)


def test_an_upload_lies_where_the_server_puts_it_whatever_its_name(server, demo_media):
    before = set(server.folder.rglob("*"))
    content = demo_media.portrait.read_bytes()
    for name in ("../../outside.png", "/etc/outside.png", "..\\outside.png"):
        httpx.post(f"{server.address}/gradio_api/upload", files={"files": (name, content)}, timeout=PATIENCE)
    [visits] = server.temporary.glob("hunyuan-portrait-demo-*")
    for path in set(server.folder.rglob("*")) - before:
        assert path.is_relative_to(visits), path
    assert not Path("/etc/outside.png").exists()


def test_a_playlist_does_not_open_what_it_names(ask, server, demo_media, tmp_path):
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{demo_media.driving}\n#EXT-X-ENDLIST\n")
    with pytest.raises(AppError, match=r"playlist\.mp4 is not a"):
        ask(driving=playlist)


# -- Nothing by its path -----------------------------------------------------------------------------------------


def paths_of_the_server(server) -> dict[str, str]:
    package = Path(diffusers_hunyuan_portrait.__file__).parent
    [visits] = server.temporary.glob("hunyuan-portrait-demo-*")
    return {
        "passwd": "/etc/passwd",
        "its own folder": str(server.secret),
        "the folder, by its name alone": server.secret.name,
        "source": str(package / "demo" / "page.py"),
        "weights": str(next(package.glob("drawn_faces/model/*/*.safetensors"))),
        "the key that signs": str(next(Path(os.environ["HUNYUAN_PORTRAIT_CONFIG"]).rglob("*key*"), "/etc/shadow")),
        "upwards": f"{visits}/../../secret.txt",
        "the visits": str(visits),
    }


PLACES = [
    "passwd", "its own folder", "the folder, by its name alone", "source", "weights", "the key that signs",
    "upwards", "the visits",
]  # fmt: skip


@pytest.mark.parametrize(
    "route", ["/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/gradio_api/stream/"]
)
@pytest.mark.parametrize("place", PLACES)
def test_no_file_is_given_out_by_its_path(server, ask, route, place):
    path = paths_of_the_server(server)[place]
    for given in (path, path.replace("/", "%2F"), path.replace("..", "%2e%2e"), f"x/../../../../../..{path}"):
        request = httpx.Request("GET", f"{server.address}{route}{given}")
        with httpx.Client(timeout=PATIENCE) as browser:
            assert browser.send(request).status_code in (400, 403, 404, 405), given


@pytest.mark.parametrize(
    "address", ["{server}/config", "http://localhost:1/", "http://169.254.169.254/", "file:///etc/passwd"]
)
def test_the_server_fetches_nothing_from_its_own_network(server, address):
    given = address.format(server=server.address)
    answer = httpx.get(f"{server.address}/gradio_api/file={given}", timeout=PATIENCE)
    assert answer.status_code in (400, 403, 404)


def call(server, portrait: object, driving: object, **settings: object) -> str:
    """What the server answers to a request that no client of Gradio's would send."""
    url = f"{server.address}/gradio_api/call/v2/animate"
    data = {"portrait": portrait, "driving": driving, **QUICK, **settings}
    answer = httpx.post(url, json=data, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    event = answer.json()["event_id"]
    return httpx.get(f"{server.address}/gradio_api/call/animate/{event}", timeout=PATIENCE).text


def file_data(path: str, **more: object) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def uploaded(server, path: Path) -> dict:
    """A file as a client that plays by the rules would send it."""
    answer = httpx.post(
        f"{server.address}/gradio_api/upload", files={"files": (path.name, path.read_bytes())}, timeout=PATIENCE
    )
    return file_data(answer.json()[0])


def test_the_plain_request_is_well_formed(server, demo_media):
    said = call(server, uploaded(server, demo_media.portrait), uploaded(server, demo_media.driving))
    assert "event: complete" in said, said


@pytest.mark.parametrize("role", ["portrait", "driving"])
@pytest.mark.parametrize("place", ["a picture or clip of the server's", *PLACES])
@pytest.mark.parametrize("more", [{}, {"is_stream": True}, {"url": "http://127.0.0.1/"}], ids=str)
def test_a_path_of_the_server_is_not_taken_for_an_upload(server, demo_media, role, place, more):
    paths = paths_of_the_server(server) | {"a picture or clip of the server's": str(getattr(demo_media, role))}
    files = {
        name: file_data(paths[place], **more) if name == role else uploaded(server, getattr(demo_media, name))
        for name in ("portrait", "driving")
    }
    said = call(server, **files)
    assert "event: error" in said, said
    assert str(server.temporary) not in said
    assert "root:" not in said


@pytest.mark.parametrize("role", ["portrait", "driving"])
def test_an_address_of_the_servers_own_network_is_not_fetched(server, demo_media, role):
    for address in (f"{server.address}/config", "http://localhost:1/x.png", "http://[::1]:1/x.png"):
        files = {
            name: file_data(address) if name == role else uploaded(server, getattr(demo_media, name))
            for name in ("portrait", "driving")
        }
        said = call(server, **files)
        assert "event: error" in said, said


@pytest.mark.parametrize("name", ["portrait_face", "driving_face"])
def test_a_face_is_not_chosen_by_a_path_of_the_server(ask, demo_media, name):
    for path in (str(demo_media.portrait), "/etc/passwd", "missing.png"):
        with pytest.raises(AppError, match="There is no face"):
            ask(**{name: path})


# -- What is left ------------------------------------------------------------------------------------------------


def test_the_description_has_the_names_and_defaults_of_the_command_line(client):
    [described] = client.view_api(return_format="dict", print_info=False)["named_endpoints"].values()
    given = {
        parameter["parameter_name"]: parameter.get("parameter_default") for parameter in described["parameters"]
    }
    assert list(given)[:2] == ["portrait", "driving"]
    assert (given["steps"], given["motion_scale"], given["head"]) == (25, 1.0, "absolute")


def test_a_server_that_is_stopped_leaves_no_file_even_amid_a_job(tmp_path, demo_media):
    running = Server(tmp_path / "stopped")
    before = set(running.files)
    client = Client(running.address, verbose=False)
    files = [handle_file(str(path)) for path in (demo_media.portrait, demo_media.driving)]
    job = client.submit(*files, steps=3000, api_name="/animate")
    wait_until(lambda: set(running.files) - before, "it has the uploads")
    running.close()
    assert running.process.returncode is not None
    assert not list(running.temporary.glob("hunyuan-portrait-demo-*"))
    with pytest.raises(Exception, match=r"."):
        job.result(PATIENCE)
    client.close()
