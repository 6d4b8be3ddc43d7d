"""Whose weights a model holds, and on what terms: told before they are fetched and carried by every model card."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """The terms of one part of a model."""

    part: str  # what it covers
    repository: str  # on the Hub, where it is published
    name: str
    link: str
    terms: str  # one sentence


TENCENT = Licence(
    part="HunyuanPortrait's networks",
    repository="tencent/HunyuanPortrait",
    name="Tencent's HunyuanPortrait licence",
    link="https://huggingface.co/tencent/HunyuanPortrait",
    terms=(
        "Academic use only, and only in the territory that the licence names; Tencent's Hunyuan licences leave "
        "out the European Union, the United Kingdom and South Korea."
    ),
)
SVD = Licence(
    part="autoencoder, scheduler and layout of the UNet",
    repository="stabilityai/stable-video-diffusion-img2vid-xt",
    name="Stability AI's licence of Stable Video Diffusion",
    link="https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt/blob/main/LICENSE.md",
    terms="Research and non-commercial use; commercial use by Stability AI's terms.",
)
ARCFACE = Licence(
    part="ID encoder (arcface.onnx)",
    repository="FoivosPar/Arc2Face",
    name="insightface's licence of its models",
    link="https://github.com/deepinsight/insightface#license",
    terms="Non-commercial research only.",
)
DINOV2 = Licence(
    part="DINOv2's blocks in the appearance adapter",
    repository="facebook/dinov2-with-registers-large",
    name="Apache-2.0",
    link="https://www.apache.org/licenses/LICENSE-2.0",
    terms="Free use with its notice kept.",
)
LICENCES = (TENCENT, SVD, ARCFACE, DINOV2)
