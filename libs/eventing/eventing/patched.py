"""Importing this module makes the process cooperative (eventlet). It must be the first import of role `work`.

Nothing else may patch: a gRPC server freezes in a patched process and a gRPC client stalls it.
"""

import os
import warnings

# Names are looked up by the operating system, as in all other roles. eventlet's own resolver knows neither its order
# of sources nor, in full, its search domains, and takes a fifth of the start.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"

# eventlet announces its own deprecation at import; the choice of nameko makes it ours.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="eventlet.*")
warnings.filterwarnings("ignore", message=".*[Ee]ventlet.*", category=DeprecationWarning)

import eventlet  # noqa: E402

eventlet.monkey_patch()
