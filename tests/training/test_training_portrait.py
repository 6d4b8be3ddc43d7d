"""The stage portrait trains what the paper trains, and its drops are the branches of guidance."""

import pytest
import torch
from id_model import PLACES, write_id_model
from training_parts import make_batch, make_pipeline

from diffusers_hunyuan_portrait.training import ObjectiveOptions, PortraitTraining


def test_what_is_trained_gets_gradients_and_nothing_else_does():
    pipe = make_pipeline()
    stage = PortraitTraining(pipe)
    stage(make_batch(pipe)).backward()
    trained = {
        name.partition(".")[0]
        for name, weight in stage.named_parameters()
        if weight.grad is not None and weight.requires_grad
    }
    assert trained == {"unet", "pose_guider", "refiner", "adapters", "image_proj"}
    assert not [n for n, weight in stage.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not [
        w for network in stage.frozen for w in network.parameters() if w.requires_grad or w.grad is not None
    ]


def test_the_state_holds_what_is_trained_and_nothing_that_is_frozen():
    stage = PortraitTraining(make_pipeline())
    frozen = sum(weight.numel() for network in stage.frozen for weight in network.parameters())
    assert frozen > 0
    assert {name.partition(".")[0] for name in stage.state_dict()} == {
        "unet",
        "pose_guider",
        "refiner",
        "adapters",
        "image_proj",
    }


def test_new_parts_have_a_learning_rate_of_their_own():
    stage = PortraitTraining(make_pipeline())
    inherited, new = stage.parameter_groups(1e-5, 1e-3)
    names = {id(weight): name for name, weight in stage.named_parameters()}
    assert (inherited["lr"], new["lr"]) == (1e-5, 1e-3)
    assert all(names[id(weight)].startswith("unet.") for weight in inherited["params"])
    assert not any("_motion" in names[id(weight)] for weight in inherited["params"])
    trained = [weight for weight in stage.parameters() if weight.requires_grad]
    assert len(inherited["params"]) + len(new["params"]) == len(trained)


def test_frozen_networks_follow_to_another_device():
    stage = PortraitTraining(make_pipeline()).to("meta")
    assert all(weight.is_meta for network in stage.frozen for weight in network.parameters())


def test_zero_conditions_predict_what_the_branches_of_guidance_predict():
    pipe = make_pipeline()
    stage, batch = PortraitTraining(pipe), make_batch(pipe)
    with torch.no_grad():
        latents, portrait = stage.encode_pictures(batch)
        image, motion = stage.encode_image(batch), stage.encode_motion(batch)
        sigma = torch.tensor(2.0)
        noisy = latents[:1] + sigma * batch["noise"][:1]
        sample = noisy / (sigma**2 + 1).sqrt()
        black = pipe._guide(torch.zeros(1, 3, 1, 32, 32))
        ids = torch.tensor([[12.5, 0.0, 0.0]])
        for image_kept, motion_kept in ((0, 0), (1, 0), (1, 1)):
            seen = image_kept * portrait[:1, None].expand(-1, sample.shape[1], -1, -1, -1)
            branch = pipe.unet(
                torch.cat([sample, seen], dim=2),
                sigma.log() / 4,
                image[:1] if image_kept else None,
                ids,
                motion[:1] if motion_kept else None,
                black,
            ).sample
            found = stage.predict(
                noisy, sigma[None], image_kept * portrait[:1], image_kept * image[:1], motion_kept * motion[:1]
            )
            assert torch.allclose(found, branch, atol=1e-5)


@pytest.mark.parametrize(
    ("drop", "image_counts", "motion_counts"), [(0.05, False, False), (0.25, True, False), (0.5, True, True)]
)
def test_an_example_drops_all_conditions_or_motion_alone(drop, image_counts, motion_counts):
    pipe = make_pipeline()
    stage = PortraitTraining(pipe, ObjectiveOptions(drop_all=0.1, drop_motion=0.3))
    batch = make_batch(pipe, size=1, drop=torch.tensor([drop]))
    with torch.no_grad():
        loss = stage(batch)
        other_image = stage(batch | {"portrait": 255 - batch["portrait"], "dino_image": -batch["dino_image"]})
        other_motion = stage(batch | {"face_crops": 1 - batch["face_crops"]})
    assert (other_image != loss).item() == image_counts
    assert (other_motion != loss).item() == motion_counts


def test_some_steps_on_one_batch_lower_its_loss():
    pipe = make_pipeline()
    stage, batch = PortraitTraining(pipe), make_batch(pipe)
    optimizer = torch.optim.AdamW(stage.parameter_groups(3e-3, 3e-3))
    losses = []
    for _ in range(12):
        loss = stage(batch)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.6 * losses[0]


def test_the_onnx_id_encoder_serves_as_in_the_pipeline(tmp_path):
    pipe = make_pipeline()
    pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "id_encoder").mkdir()
    write_id_model(tmp_path / "model" / "id_encoder" / "arcface.onnx")
    pipe = type(pipe).from_pretrained(tmp_path / "model")
    pictures = torch.rand(2, 3, 112, 112)
    vectors = PortraitTraining(pipe)._encode_identity(pictures)
    expected = pictures.flatten(1)[:, PLACES]
    assert torch.allclose(vectors, expected / expected.norm(dim=1, keepdim=True), atol=1e-6)
