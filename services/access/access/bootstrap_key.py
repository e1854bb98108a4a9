"""Makes the first API key of an installation: `python -m access.bootstrap_key`.

It goes into the secret behind RAPPORT_BOOTSTRAP_KEY; the role `migrate` stores its hash.
"""

import secrets
import sys

from access.domain.key_text import SECRET_BYTES, KeyText
from access.domain.slugs import PLATFORM
from chassis.ids import uuid7


def new_bootstrap_key() -> str:
    """A fresh API key of the tenant `platform`."""
    return KeyText(PLATFORM, uuid7(), secrets.token_bytes(SECRET_BYTES)).text()


if __name__ == "__main__":
    sys.stdout.write(new_bootstrap_key() + "\n")
