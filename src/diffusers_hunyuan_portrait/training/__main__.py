"""`accelerate launch -m diffusers_hunyuan_portrait.training CONFIG.yaml`: `train` in every process."""

import sys

from ..cli.main import run

sys.argv.insert(1, "train")
run()
