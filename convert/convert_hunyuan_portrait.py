"""The converter as a script: the same as `hunyuan-portrait convert`."""

import sys

from diffusers_hunyuan_portrait.cli.main import run

if __name__ == "__main__":
    sys.argv.insert(1, "convert")
    run()
