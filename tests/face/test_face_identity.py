"""The ID vector, with a small ONNX network in ArcFace's place: what goes in and what is made of what comes out."""

import sys

import numpy as np
import pytest
import torch
from id_model import PLACES, write_id_model
from synthetic import uniform

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import CheckpointError
from diffusers_hunyuan_portrait.face import identity


@pytest.fixture
def aligned() -> np.ndarray:
    return uniform("identity/aligned", (112, 112, 3)).numpy()


def test_numbers_go_in_as_they_are_and_come_out_with_unit_norm(tmp_path, aligned):
    vector = face.IdEncoder(write_id_model(tmp_path / "arcface.onnx"))(aligned)
    expected = aligned.transpose(2, 0, 1).ravel()[PLACES]  # planes of red, green, blue; still in [0, 1]
    assert vector.shape == (1, 512)
    assert vector.dtype == torch.float32
    assert vector.norm().item() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(vector[0], expected / np.linalg.norm(expected), rtol=1e-5)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file .*arcface\.onnx.*FoivosPar/Arc2Face"):
        face.IdEncoder(tmp_path / "arcface.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(4096)])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "arcface.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        face.IdEncoder(path)


def test_another_network_is_refused_by_its_input(tmp_path):
    with pytest.raises(CheckpointError, match=r"\['pixels'\], not 'data'"):
        face.IdEncoder(write_id_model(tmp_path / "arcface.onnx", input_name="pixels"))


def test_another_network_is_refused_by_its_output(tmp_path, aligned):
    encoder = face.IdEncoder(write_id_model(tmp_path / "arcface.onnx", places=PLACES[:128]))
    with pytest.raises(CheckpointError, match=r"\(1, 128\)"):
        encoder(aligned)


def test_another_network_is_refused_by_the_size_it_takes(tmp_path, aligned):
    encoder = face.IdEncoder(write_id_model(tmp_path / "arcface.onnx", side=160))
    with pytest.raises(CheckpointError, match=r"does not take a picture of shape \(1, 3, 112, 112\)"):
        encoder(aligned)


def test_without_onnxruntime_it_says_how_to_install_it(tmp_path, monkeypatch):
    path = write_id_model(tmp_path / "arcface.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(identity.MissingRuntimeError, match="pip install onnxruntime"):
        face.IdEncoder(path)
