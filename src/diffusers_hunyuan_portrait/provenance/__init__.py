"""What a video says of how it was made: signed credentials and a mark in its pixels, written and read back."""

from .certificates import Signature, signature_of_files, signature_of_user
from .claims import COMMENT, MADE_BY_MODEL, PASTED_BACK, Claim
from .signing import CARRIERS, seal
from .verifying import Verdict, verify
from .watermark import BITS, ENOUGH, MarkReading, Watermark, check_frame_size, find_networks

__all__ = [
    "BITS",
    "CARRIERS",
    "COMMENT",
    "ENOUGH",
    "MADE_BY_MODEL",
    "PASTED_BACK",
    "Claim",
    "MarkReading",
    "Signature",
    "Verdict",
    "Watermark",
    "check_frame_size",
    "find_networks",
    "seal",
    "signature_of_files",
    "signature_of_user",
    "verify",
]
