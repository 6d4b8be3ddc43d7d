"""The reader reads motion and identity, and is kept in one small file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffusers_hunyuan_portrait.drawn_faces import Identity, Motion
from diffusers_hunyuan_portrait.errors import CheckpointError, UserError
from diffusers_hunyuan_portrait.evaluation import MotionReader, make_pairs, reader

SHIPPED = Path(__file__).parents[2] / "recipes" / "drawn_faces" / "reader.safetensors"


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return MotionReader().eval()


@pytest.fixture(scope="module")
def truth():
    """Every sixth picture of the truth of 16 pairs, and the motion and identity to be read from each."""
    pairs = make_pairs(16, "validation")
    pictures = np.concatenate([pair.draw_truth(reader.READER_SIZE)[::6] for pair in pairs])
    motion = np.stack([motion.to_vector() for pair in pairs for motion in pair.truth[::6]])
    identity = np.stack([pair.identity.to_vector() for pair in pairs for _ in pair.truth[::6]])
    return pictures, motion, identity


def test_every_parameter_of_every_frame_is_read(untrained, truth):
    motion, identity = untrained.read(truth[0])
    assert motion.shape == (64, len(Motion.names()))
    assert identity.shape == (64, len(Identity.names()))


def test_frames_of_another_size_are_read_as_pictures_of_the_same(untrained):
    grey = np.full((1, 64, 64, 3), 90, np.uint8)
    as_large = np.full((1, 128, 128, 3), 90, np.uint8)
    np.testing.assert_array_equal(untrained.read(grey)[0], untrained.read(as_large)[0])


def test_a_saved_reader_reads_the_same_to_half_precision(untrained, truth, tmp_path):
    untrained.save(tmp_path / "reader.safetensors", steps="0")
    loaded = MotionReader.load(tmp_path / "reader.safetensors")
    # Half precision keeps 11 bits of each weight, 5e-4 relative, on outputs below 1; it adds up over ten layers.
    pictures = truth[0][:16]
    for read, expected in zip(loaded.read(pictures), untrained.read(pictures), strict=True):
        np.testing.assert_allclose(read, expected, atol=5e-3)
    assert next(loaded.parameters()).dtype is torch.float32
    assert not loaded.training


def test_a_missing_file_is_named_and_how_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors.*train_reader"):
        MotionReader.load(tmp_path / "none.safetensors")


def test_other_weights_are_no_reader(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="is no reader"):
        MotionReader.load(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(CheckpointError, match="is no reader"):
        MotionReader.load(tmp_path / "text.safetensors")


def test_a_reader_of_faces_drawn_otherwise_is_refused(untrained, tmp_path, monkeypatch):
    untrained.save(tmp_path / "reader.safetensors")
    monkeypatch.setattr(Motion, "names", classmethod(lambda cls: ("yaw", "wink")))
    with pytest.raises(UserError, match="drawn with other parameters"):
        MotionReader.load(tmp_path / "reader.safetensors")


def test_the_shipped_reader_is_small_and_reads_every_motion_parameter(truth):
    assert SHIPPED.stat().st_size < 3e6
    pictures, motion, _ = truth
    error = np.abs(MotionReader.load(SHIPPED).read(pictures)[0] - motion).mean(axis=0)
    spread = np.abs(motion - motion.mean(axis=0)).mean(axis=0)
    poorly_read = {name: e for name, e in zip(Motion.names(), error / spread, strict=True) if e > 0.5}
    assert poorly_read == {}
