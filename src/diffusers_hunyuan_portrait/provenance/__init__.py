"""Content credentials: what a video says of how it was made, signed, and reading it back."""

from .certificates import Signature, signature_of_files, signature_of_user
from .claims import COMMENT, MADE_BY_MODEL, PASTED_BACK, Claim
from .signing import CARRIERS, seal
from .verifying import Verdict, verify

__all__ = [
    "CARRIERS",
    "COMMENT",
    "MADE_BY_MODEL",
    "PASTED_BACK",
    "Claim",
    "Signature",
    "Verdict",
    "seal",
    "signature_of_files",
    "signature_of_user",
    "verify",
]
