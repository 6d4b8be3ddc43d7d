"""Training with skeletons: drawn where the clip has them, with edges dropped by chance, and in every branch."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from training_parts import SIDE, make_batch, make_clip, make_pipeline, short_run, with_run

from diffusers_hunyuan_portrait.dataset import ClipWriter
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import skeletons
from diffusers_hunyuan_portrait.media import open_frames
from diffusers_hunyuan_portrait.pipeline import PAD_FRAMES
from diffusers_hunyuan_portrait.training import ExampleOptions, PortraitTraining, Sizes, train
from diffusers_hunyuan_portrait.training.examples import make_example
from diffusers_hunyuan_portrait.training.loop import make_stage
from diffusers_hunyuan_portrait.training.validation import conditions_of

WHOLE = ExampleOptions(pose="dwpose", drop_edges=0, drop_eyes=0)


def with_skeletons(seed: int = 0, length: int = 30):
    """A clip of a person whose points wander."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SIDE, (1, 134, 2))
    places = start + rng.normal(0, 1, (length, 134, 2)).cumsum(axis=0)
    points = np.concatenate([places, np.ones((length, 134, 1))], axis=2).astype(np.float32)
    return make_clip(seed, length=length, keypoints=points)


def draw(options, clip=None, seed=0, num_frames=4):
    sizes = Sizes.of(make_pipeline())
    return make_example(clip or with_skeletons(), num_frames, sizes, options, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skeletons") / "train"
    with ClipWriter(folder, clips_per_shard=4) as writer:
        for seed in range(4):
            writer.write(with_skeletons(seed))
    return folder


def test_an_example_shows_the_skeletons_of_its_frames():
    clip = with_skeletons()
    # Frames that say their own number.
    numbers = np.arange(len(clip), dtype=np.uint8)[:, None, None, None]
    clip = dataclasses.replace(clip, frames=np.broadcast_to(numbers, clip.frames.shape).copy())
    example = draw(WHOLE, clip)
    frames = example["frames"][:, 0, 0, 0].numpy()
    expected = skeletons.draw_skeletons(clip.keypoints[frames], SIDE, SIDE)
    np.testing.assert_array_equal(example["pose_images"].permute(0, 2, 3, 1), expected)


def test_skeletons_are_scaled_with_the_pictures():
    large = make_clip(keypoints=with_skeletons().keypoints)
    twice = np.repeat(np.repeat(large.frames, 2, axis=1), 2, axis=2)
    larger = dataclasses.replace(
        large, frames=twice, landmarks=2 * large.landmarks, face_boxes=2 * large.face_boxes,
        keypoints=large.keypoints * np.array([2, 2, 1], np.float32),
    )  # fmt: skip
    assert torch.equal(draw(WHOLE, large)["pose_images"], draw(WHOLE, larger)["pose_images"])


def test_edges_are_dropped_by_the_seed_and_the_rest_is_drawn_as_without():
    clip = with_skeletons()
    whole, dropping = draw(WHOLE, clip), ExampleOptions(pose="dwpose")
    assert (dropping.drop_edges, dropping.drop_eyes) == (0.1, 0.5)
    first, again, other = (draw(dropping, clip, seed) for seed in (0, 0, 1))
    assert torch.equal(first["pose_images"], again["pose_images"])
    assert not torch.equal(first["pose_images"], whole["pose_images"])
    assert not torch.equal(first["pose_images"], other["pose_images"])
    black = draw(ExampleOptions(), clip)
    assert "pose_images" not in black
    for name, value in black.items():
        assert torch.equal(value, whole[name]), name
        assert torch.equal(value, first[name]), name


def test_everything_can_be_dropped():
    assert not draw(dataclasses.replace(WHOLE, drop_edges=1.0))["pose_images"].any()


def test_black_pictures_give_the_loss_of_none():
    pipe = make_pipeline()
    stage, batch = PortraitTraining(pipe), make_batch(pipe)
    black = torch.zeros(2, 3, 3, SIDE, SIDE, dtype=torch.uint8)
    with torch.no_grad():
        # Convolutions over more pictures sum in another order.
        torch.testing.assert_close(stage(batch | {"pose_images": black}), stage(batch), rtol=1e-5, atol=0)


def test_the_pose_guider_learns_from_skeletons():
    pipe = make_pipeline()
    with torch.no_grad():  # it begins with zeros, through which nothing comes back
        for weight in pipe.pose_guider.parameters():
            weight.add_(0.1)
    stage = PortraitTraining(pipe)
    batch = default_collate([draw(WHOLE, with_skeletons(seed), seed) for seed in range(2)])
    losses = []
    for pictures in (batch["pose_images"], torch.zeros_like(batch["pose_images"])):
        stage.zero_grad()
        loss = stage(batch | {"pose_images": pictures})
        loss.backward()
        losses.append((loss.item(), stage.pose_guider.conv_in.weight.grad.abs().sum().item()))
    assert losses[0][0] != losses[1][0]
    assert losses[0][1] > 0
    assert losses[1][1] == 0  # black has nothing to weigh


@pytest.mark.parametrize("name", ["portrait", "adapter", "consistency"])
def test_every_stage_trains_with_skeletons_to_the_same_loss_again(name, small_model, stored, tmp_path):
    seen = []
    for number in range(2):
        config = short_run(small_model, stored, tmp_path / str(number), stage=name, examples={"pose": "dwpose"})
        losses = {}
        train(with_run(config, max_steps=2), on_step=losses.__setitem__)
        seen.append(losses)
    assert seen[0] == seen[1]


def test_clips_without_skeletons_are_told_of(small_model, shards, tmp_path):
    config = short_run(small_model, shards, tmp_path / "out", examples={"pose": "dwpose"})
    with pytest.raises(UserError, match=r"key points stored .* prepare the clips with --pose dwpose"):
        train(config)


def test_a_held_out_clip_is_shown_with_its_skeletons(small_model, stored, tmp_path):
    config = short_run(
        small_model,
        stored,
        tmp_path / "out",
        run={"max_steps": 1},
        examples={"pose": "dwpose"},
        validation={"data": str(stored), "every": 1, "inference_steps": 1, "examples": 2},
    )
    train(config)
    assert next(iter(open_frames(tmp_path / "out" / "validation" / "step-00000001.mp4"))).shape == (32, 96, 3)
    clip = with_skeletons()
    conditions = conditions_of(make_stage(config).pipe, clip, "dwpose")
    keypoints = conditions.pose_keypoints[0, PAD_FRAMES:-PAD_FRAMES]
    np.testing.assert_array_equal(keypoints, clip.keypoints)
    assert conditions_of(make_stage(config).pipe, clip).pose_keypoints is None
