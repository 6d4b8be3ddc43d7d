"""A Hub on loopback with small originals in the published shape, and a client of it in the test's own process."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from huggingface_hub import constants
from id_model import write_id_model
from original_files import Files, original_files


@pytest.fixture(scope="session")
def originals(tiny_source: Path, tiny_config: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """What `add_originals` puts on a Hub."""
    id_model = tmp_path_factory.mktemp("arcface") / "arcface.onnx"
    write_id_model(id_model)
    return original_files(tiny_source, tiny_config, id_model)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


@pytest.fixture
def home(tmp_path) -> Path:
    """The user's HF_HOME."""
    return tmp_path / "home"


@pytest.fixture
def client(hub, home, monkeypatch) -> Callable[..., None]:
    """Makes this process a client of the Hub, as HF_ENDPOINT and HF_HOME do at its start; called to change it."""

    def settle(*, endpoint: str = hub.url, home: Path = home, offline: bool = False, token: str | None = None):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HOME", str(home))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(home / "assets"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        if token is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        else:
            monkeypatch.setenv("HF_TOKEN", token)

    settle()
    return settle


@pytest.fixture
def notes() -> Iterator[list[str]]:
    """What the package's log says meanwhile, from notes on."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log, keep = logging.getLogger("diffusers_hunyuan_portrait"), Keep()
    level = log.level
    log.addHandler(keep)
    log.setLevel(logging.INFO)
    yield said
    log.setLevel(level)
    log.removeHandler(keep)
