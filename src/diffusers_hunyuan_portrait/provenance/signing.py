"""Signed credentials in files that carry them."""

import json
from pathlib import Path

import c2pa

from ..errors import UserError
from .certificates import Signature
from .claims import Claim

# What C2PA calls the formats that it can be written into; Matroska and WebM are not among them.
CARRIERS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
# No pictures beside the file's own, and nothing is asked for over the network.
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"remote_manifest_fetch": False}}


def seal(path: Path, claim: Claim, signature: Signature, title: str | None = None) -> None:
    """Writes signed credentials into a file, which is replaced as a whole.

    Args:
        path: of one of the `CARRIERS`.
        claim: what they say.
        signature: who says so.
        title: the file's name; its own by default.

    Raises:
        UserError: the file cannot be written, or the certificate cannot sign.
    """
    signed = path.with_name(f"{path.stem}.signed{path.suffix}")
    information = c2pa.C2paSignerInfo(
        alg=signature.algorithm.encode(), sign_cert=signature.certificates, private_key=signature.key, ta_url=None
    )
    try:
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Signer.from_info(information) as signer,
            c2pa.Builder(json.dumps(claim.to_manifest(title or path.name)), context=context) as builder,
            path.open("rb") as source,
            signed.open("w+b") as target,
        ):
            builder.sign(signer, CARRIERS[path.suffix.lower()], source, target)
        signed.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be signed: {error.strerror}.") from error
    except c2pa.C2paError as error:
        raise UserError(f"The credentials of {title or path.name} cannot be signed: {error}.") from error
    finally:
        signed.unlink(missing_ok=True)
