"""Importing this module makes the process cooperative (eventlet). It must be the first import of role `work`.

Nothing else may patch: a gRPC server freezes in a patched process and a gRPC client stalls it.
"""

import atexit
import functools
import os
import warnings

# Names are looked up by the operating system, as in all other roles. eventlet's own resolver knows neither its order
# of sources nor, in full, its search domains, and takes a fifth of the start.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"

# eventlet announces its own deprecation at import; the choice of nameko makes it ours.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="eventlet.*")
warnings.filterwarnings("ignore", message=".*[Ee]ventlet.*", category=DeprecationWarning)

import eventlet  # noqa: E402
from eventlet import tpool  # noqa: E402
from eventlet.green import socket  # noqa: E402

# The operating system blocks while it asks name servers, many seconds where they do not answer: threads wait for it,
# not all queues, heartbeats and probes. The green module is changed: its own create_connection looks names up, too.
for _name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getnameinfo"):
    setattr(socket, _name, functools.partial(tpool.execute, getattr(socket, _name)))
# It would wait for look-ups that go on; the threads are daemons and end with the process.
atexit.unregister(tpool.killall)

eventlet.monkey_patch()
