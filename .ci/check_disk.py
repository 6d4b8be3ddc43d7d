"""Fails with a sentence where the folder for temporary files has less free disk than the heavy tests need."""

import shutil
import sys
import tempfile

needed, folder = int(sys.argv[1]), tempfile.gettempdir()
free = shutil.disk_usage(folder).free // 10**9
if free < needed:
    sys.exit(
        f"The heavy tests need {needed} GB of free disk, but {folder} has {free} GB; "
        "free some, or set TMPDIR to a folder on a larger disk."
    )
