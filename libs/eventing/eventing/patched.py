"""Importing this module makes the process cooperative (eventlet). It must be the first import of role `work`.

Nothing else may patch: a gRPC server freezes in a patched process and a gRPC client stalls it.
"""

import warnings

# eventlet announces its own deprecation at import; the choice of nameko makes it ours.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="eventlet.*")
warnings.filterwarnings("ignore", message=".*[Ee]ventlet.*", category=DeprecationWarning)

import eventlet  # noqa: E402

eventlet.monkey_patch()
