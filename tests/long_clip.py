"""Animates a clip of the number of frames given, and prints the peak memory in KiB: run by test_animation.py.

All of the real code runs, at the released sizes of tokens, latents and pictures; only the networks and the face
detector are replaced, by ones that cost next to nothing.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder, ConfigMixin, EulerDiscreteScheduler, ModelMixin
from diffusers.configuration_utils import register_to_config

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.animation import animate
from diffusers_hunyuan_portrait.face import Face
from diffusers_hunyuan_portrait.media import VideoWriter

SIDE, TOKENS, CHANNELS = 512, 64, 1024


class StandIn(ModelMixin, ConfigMixin):
    """A network with a config and one weight in half precision."""

    @register_to_config
    def __init__(
        self,
        image_size: int = 224,
        id_dim: int = 512,
        num_memories: int = TOKENS,
        refined_dim: int = CHANNELS - 6,
        cross_attention_dim: int = CHANNELS,
    ):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float16))


class Appearance(StandIn):
    def forward(self, dino_image, id_embedding):
        return SimpleNamespace(image_tokens=torch.zeros(1, TOKENS, CHANNELS))


class Motion(StandIn):
    def forward(self, face_crops=None, pose_crops=None, *, expression=None, **others):
        if expression is None:
            numbers = torch.zeros(len(face_crops), 3)
            return SimpleNamespace(expression=numbers, rotation=numbers, translation=numbers)
        return SimpleNamespace(motion_tokens=torch.ones(len(expression), TOKENS, CHANNELS))


class Pose(StandIn):
    def forward(self, pose_images):
        return SimpleNamespace(sample=torch.zeros(1, 1, pose_images.shape[2], SIDE // 8, SIDE // 8))


class UNet(StandIn):
    def forward(self, sample, *_, **others):
        return (sample[:, :, :4],)


class VAE(AutoencoderKLTemporalDecoder):
    def decode(self, z, num_frames):
        return SimpleNamespace(sample=torch.zeros(num_frames, 3, SIDE, SIDE))


class OneFace:
    def detect(self, image):
        height, width = image.shape[:2]
        points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]])
        box = np.array([0.3, 0.25, 0.7, 0.75]) * [width, height, width, height]
        return [Face(box, points * [width, height], 1.0)]


def main(num_frames: int, folder: Path) -> None:
    driving = folder / f"driving-{num_frames}.mp4"
    with VideoWriter(driving, frame_rate=25) as writer:
        for index in range(num_frames):
            writer.write(np.full((96, 96, 3), index % 256, np.uint8))
    portrait = np.random.RandomState(0).randint(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    pipe = HunyuanPortraitPipeline(
        Appearance(),
        Motion(),
        Pose(),
        UNet(),
        VAE(
            down_block_types=("DownEncoderBlock2D",) * 4,
            block_out_channels=(32,) * 4,
            layers_per_block=1,
            sample_size=SIDE,
        ),
        EulerDiscreteScheduler(prediction_type="v_prediction", sigma_max=700.0, sigma_min=0.002),
    )
    animate(
        pipe,
        portrait,
        driving,
        folder / "out.mp4",
        detector=OneFace(),
        num_inference_steps=2,
        on_progress=lambda stage, done, total: None,
    )
    # Not getrusage's peak, which may be the one of the process that this was started from.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
