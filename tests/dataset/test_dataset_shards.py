"""Clips come back from their shards as they went in, to any reader, and shards are whole or not there."""

import io
import json
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import webdataset
from torch.utils.data import DataLoader

from diffusers_hunyuan_portrait.dataset import Clip, ClipShards, ClipWriter
from diffusers_hunyuan_portrait.errors import UserError


def noise_clip(seed: int = 0, frames: int = 30, size: int = 24) -> Clip:
    """Noise, which nothing but lossless storage brings back."""
    rng = np.random.default_rng(seed)
    return Clip(
        frames=rng.integers(0, 256, (frames, size, size, 3), np.uint8),
        landmarks=rng.uniform(0, size, (frames, 5, 2)),
        face_boxes=rng.uniform(0, size, (frames, 4)),
        frame_rate=30000 / 1001,
        source={"video": f"film {seed}.mp4", "start": 1.5},
    )


def full_clip(seed: int = 0) -> Clip:
    """A clip with all that may go with one, in numbers that half precision holds."""
    clip, rng = noise_clip(seed), np.random.default_rng(seed)
    return replace(
        clip,
        latents=rng.integers(-8, 8, (len(clip), 4, 3, 3)) / 8,
        anchors=np.array([3, 17]),
        expression=rng.integers(-8, 8, (2, len(clip), 6)) / 8,
        rotation=rng.uniform(-180, 180, (2, len(clip), 3)).astype(np.float32),
        keypoints=rng.uniform(0, 24, (len(clip), 134, 3)).astype(np.float32),
        styles={"ink": clip.frames[::-1].copy(), "oil-2": 255 - clip.frames},
    )


def store(folder, clips, clips_per_shard=2, **options):
    with ClipWriter(folder, clips_per_shard, **options) as writer:
        for clip in clips:
            writer.write(clip)
    return folder


def fields(clip: Clip) -> dict:
    return {name: value for name, value in vars(clip).items() if isinstance(value, np.ndarray)} | clip.styles


def assert_same(clip: Clip, other: Clip) -> None:
    assert fields(clip).keys() == fields(other).keys()
    for name, value in fields(clip).items():
        np.testing.assert_array_equal(fields(other)[name], value, err_msg=name)
    assert (clip.frame_rate, clip.source) == (other.frame_rate, other.source)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Five full clips in three shards. Not to be changed."""
    return store(tmp_path_factory.mktemp("shards"), (full_clip(seed) for seed in range(5)))


def test_clips_come_back_to_the_bit_in_any_order(shards):
    clips = ClipShards(shards)
    assert len(clips) == 5
    for number in (4, 0, 2, 0):
        assert_same(full_clip(number), clips[number])


def test_shards_are_numbered_and_full_but_for_the_last(shards):
    counts = {}
    for path in shards.iterdir():
        with tarfile.open(path) as tar:
            counts[path.name] = len({name.split(".")[0] for name in tar.getnames()})
    assert counts == {"clips-000000.tar": 2, "clips-000001.tar": 2, "clips-000002.tar": 1}


def test_webdataset_reads_them(shards):
    pattern = str(shards / "clips-{000000..000002}.tar")
    samples = list(webdataset.WebDataset(pattern, shardshuffle=False).decode())
    assert [sample["json"]["source"]["video"] for sample in samples] == [f"film {n}.mp4" for n in range(5)]
    wanted = full_clip(1)
    np.testing.assert_array_equal(samples[1]["latents.npy"], wanted.latents)
    np.testing.assert_array_equal(samples[1]["rotation.npy"], wanted.rotation)
    np.testing.assert_array_equal(samples[1]["json"]["landmarks"], wanted.landmarks)
    assert {"mp4", "style-ink.mp4", "style-oil-2.mp4", "expression.npy", "anchors.npy"} <= samples[1].keys()


def test_the_levels_of_each_chunk_of_25_frames_are_stored(tmp_path):
    still = np.tile(np.random.default_rng(0).uniform(4, 20, (5, 2)), (30, 1, 1))
    moving = still.copy()
    moving[25:] += 3 * np.arange(5)[:, None, None]  # the head alone moves, in the second chunk alone
    store(tmp_path, [replace(noise_clip(), landmarks=moving)])
    (head, expression), (later_head, later_expression) = json.loads(
        ClipShards(tmp_path).read_files("000000-000000")["json"]
    )["levels"]
    assert (head, expression, later_expression) == (0, 0, 0)
    assert later_head > 0


def test_data_loaders_read_them_in_other_processes(shards):
    clips = pickle.loads(pickle.dumps(ClipShards(shards)))  # as spawned workers get it
    loader = DataLoader(clips, batch_size=None, num_workers=2, shuffle=False)
    for number, clip in enumerate(loader):
        np.testing.assert_array_equal(clip.frames, full_clip(number).frames)
    assert number == 4


def test_near_lossless_storage_keeps_a_clip_to_40_db(tmp_path):
    rows, columns = np.mgrid[:64, :64]
    waves = [np.sin((rows * a + columns * b) / 20) for a, b in ((1, 0.3), (0.2, 1), (0.7, 0.7))]
    grain = np.random.default_rng(0).integers(-4, 5, (30, 64, 64, 3))  # without it, lossless takes next to nothing
    frames = np.uint8(128 + 90 * np.stack(waves, axis=-1) + grain)
    clip = replace(noise_clip(size=64), frames=frames)
    lossless, near = ClipShards(store(tmp_path / "a", [clip])), ClipShards(store(tmp_path / "b", [clip], crf=14))
    error = np.mean((near[0].frames.astype(float) - frames) ** 2)
    # 40 dB is where a difference can no longer be seen; x264's quality 14 gives 45 dB and more.
    assert 0 < error < 255**2 / 10**4
    small, large = (len(clips.read_files("000000-000000")["mp4"]) for clips in (near, lossless))
    assert small < large


def test_a_later_writer_goes_on_with_the_next_shard(tmp_path):
    store(tmp_path, [noise_clip(0)])
    store(tmp_path, [noise_clip(1)])
    clips = ClipShards(tmp_path)
    assert [clip.source["video"] for clip in (clips[0], clips[1])] == ["film 0.mp4", "film 1.mp4"]
    assert len(set(clips.keys)) == 2


def test_an_interruption_leaves_whole_shards_alone(tmp_path):
    def three_clips():
        yield from (noise_clip(seed) for seed in range(3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, three_clips())
    assert [path.name for path in tmp_path.iterdir()] == ["clips-000000.tar"]
    assert len(ClipShards(tmp_path)) == 2


def test_an_unfinished_shard_is_hidden_until_it_is_whole(tmp_path):
    with ClipWriter(tmp_path, 2) as writer:
        writer.write(noise_clip())
        assert list(tmp_path.glob("clips-*")) == []
    assert len(ClipShards(tmp_path)) == 1


def test_a_shard_that_is_cut_off_is_named(shards, tmp_path):
    damaged = tmp_path / "clips-000000.tar"
    whole = (shards / damaged.name).read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"clips-000000\.tar is damaged"):
        ClipShards(tmp_path)


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("extension", "content", "said"),
    [
        ("json", b"{", "Expecting"),
        ("json", b'{"version": 99}', "its format is 99"),
        ("json", b"[]", "list indices"),
        ("mp4", b"no video", "Invalid data"),
        ("latents.npy", b"no array", "magic string"),
        ("latents.npy", pickled(), "allow_pickle=False"),
        ("mp4", None, "it has no mp4"),
    ],
)
def test_a_damaged_clip_is_named_and_never_run(tmp_path, extension, content, said):
    with ClipWriter(tmp_path / "good") as writer:
        writer.write(full_clip(), "somebody")
    files = ClipShards(tmp_path / "good").read_files("somebody") | {extension: content}
    with ClipWriter(tmp_path / "bad") as writer:
        writer.write_files("somebody", {name: data for name, data in files.items() if data is not None})
    with pytest.raises(UserError, match=f"The clip somebody in .*clips-000000.tar cannot be read: .*{said}"):
        ClipShards(tmp_path / "bad")[0]


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no clips"):
        ClipShards(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"landmarks": np.zeros((29, 5, 2))}, r"landmarks must be of shape \(30, 5, 2\)"),
        ({"frames": np.zeros((30, 24, 20, 3), np.uint8)}, r"\(F, S, S, 3\) uint8"),
        ({"latents": np.zeros((29, 4, 3, 3))}, "latents"),
        ({"anchors": np.array([30])}, "among its 30 frames"),
        ({"expression": np.zeros((2, 30, 6))}, "needs the anchors"),
        ({"styles": {"ink": np.zeros((30, 12, 12, 3), np.uint8)}}, "style 'ink'"),
        ({"frame_rate": 0}, "frame rate"),
    ],
)
def test_a_clip_whose_parts_do_not_go_together_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(noise_clip(), **change)


@pytest.mark.parametrize("key", ["a.b", "a/b", ""])
def test_keys_that_a_webdataset_would_take_apart_are_refused(tmp_path, key):
    with pytest.raises(ValueError, match="no dots or slashes"), ClipWriter(tmp_path) as writer:
        writer.write_files(key, {"json": b"{}"})


def test_a_style_named_otherwise_than_webdataset_keeps_it_is_refused(tmp_path):
    clip = replace(noise_clip(), styles={"Ink": noise_clip().frames})
    with pytest.raises(ValueError, match="style's name"), ClipWriter(tmp_path) as writer:
        writer.write(clip)


def test_a_clip_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    """Whether its files are large, or only what they unpack to."""
    black = replace(noise_clip(frames=400, size=64), frames=np.zeros((400, 64, 64, 3), np.uint8))
    shards = ClipShards(store(tmp_path, [black, noise_clip(frames=400, size=64)]))
    assert len(shards[0]) == 400
    packed = [sum(map(len, shards.read_files(key).values())) for key in shards.keys]
    assert packed[0] < 1_000_000 < packed[1]
    monkeypatch.setenv("HUNYUAN_PORTRAIT_MAX_CLIP_MEGABYTES", "1")
    for index in range(2):
        with pytest.raises(UserError, match=r"more than 1 MB of memory.*HUNYUAN_PORTRAIT_MAX_CLIP_MEGABYTES"):
            shards[index]
