"""The keyring of tests. It protects nothing."""

import base64
import json

TEST_KEYRING = json.dumps(
    {"current": "test-2", "keys": {f"test-{n}": base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)}}
)
