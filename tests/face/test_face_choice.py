"""Which detector is chosen by name, and that the room is cheap to enter."""

import subprocess
import sys

import pytest

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import UserError


@pytest.fixture
def models(tmp_path, monkeypatch):
    """insightface's folder of model packs, empty."""
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    return tmp_path / "models"


def add_pack(models, name: str, file: str) -> None:
    (models / name).mkdir(parents=True)
    (models / name / file).write_bytes(b"")


def test_auto_is_mtcnn_without_a_pack(models):
    assert face.resolve_detector() == "mtcnn"
    assert face.load_detector().name == "mtcnn"
    assert not models.exists()  # and none was fetched


def test_auto_is_mtcnn_where_the_packs_hold_no_detector(models):
    add_pack(models, "buffalo_l", "w600k_r50.onnx")
    assert face.resolve_detector("auto") == "mtcnn"


def test_auto_is_mtcnn_without_the_package(models, monkeypatch):
    add_pack(models, "buffalo_l", "det_10g.onnx")
    monkeypatch.setitem(sys.modules, "insightface", None)
    monkeypatch.delitem(sys.modules, "insightface.model_zoo", raising=False)
    assert face.resolve_detector("auto") == "mtcnn"


@pytest.mark.parametrize(("pack", "file"), [("buffalo_l", "det_10g.onnx"), ("mine", "scrfd_500m_bnkps.onnx")])
def test_auto_is_insightface_with_package_and_pack(models, monkeypatch, pack, file):
    add_pack(models, pack, file)
    monkeypatch.setitem(sys.modules, "insightface", type(sys)("insightface"))
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", type(sys)("insightface.model_zoo"))
    assert face.resolve_detector("auto") == "insightface"


def test_insightface_without_the_package_says_how_to_install_it(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "insightface", None)
    monkeypatch.delitem(sys.modules, "insightface.model_zoo", raising=False)
    with pytest.raises(UserError, match=r"pip install 'diffusers-hunyuan-portrait\[insightface\]'"):
        face.load_detector("insightface")


@pytest.mark.parametrize("name", ["insightface", "mtcnn", "yoloface"])
def test_a_name_stands_for_itself(name):
    assert face.resolve_detector(name) == name


@pytest.mark.parametrize("choose", [face.resolve_detector, face.load_detector])
def test_an_unknown_name_is_answered_with_the_known_ones(choose):
    with pytest.raises(UserError, match="'haar'; choose auto, insightface, mtcnn or yoloface"):
        choose("haar")


@pytest.mark.parametrize("name", ["auto", "mtcnn"])
def test_a_path_that_would_be_ignored_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=f"{name} takes no path"):
        face.load_detector(name, path=tmp_path)


def test_importing_the_room_imports_no_runtime():
    code = "import sys, diffusers_hunyuan_portrait.face; print({'insightface', 'onnxruntime'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
