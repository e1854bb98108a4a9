"""Looking up names in a patched process, as role `work` is."""

import json
import subprocess
import sys
import time

PROGRAM = """
import json, socket, time

sleep, clock = time.sleep, time.monotonic

def slow(host, *_, **__):
    sleep({"slow": 2.0, "never": 60.0}.get(host, 0.0))
    if host == "unknown":
        raise socket.gaierror(socket.EAI_NONAME, "not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]

socket.getaddrinfo = slow
import eventing.patched
import eventlet

ticks = []

def tick():
    while True:
        ticks.append(clock())
        eventlet.sleep(0.02)

def connect(host):
    try:
        socket.create_connection((host, 1))
    except OSError as error:
        return type(error).__name__

eventlet.spawn(tick)
start = clock()
found = [eventlet.spawn(socket.getaddrinfo, "slow", 1), eventlet.spawn(connect, "slow")]
address = found[0].wait()[0][4]
refused = found[1].wait()
took = clock() - start
unknown = connect("unknown")
eventlet.spawn(socket.getaddrinfo, "never", 1)
eventlet.sleep(0.05)
pauses = [later - tick for tick, later in zip(ticks, ticks[1:])]
print(json.dumps([address, refused, unknown, took, max(pauses)]))
"""


def test_a_slow_look_up_stops_nothing_else_and_not_the_end_of_the_process():
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    address, refused, unknown, took, longest_pause = json.loads(done.stdout)
    assert (address, refused, unknown) == (["127.0.0.1", 1], "ConnectionRefusedError", "gaierror")
    assert took < 3.5  # Both look-ups, 2 s each, at the same time.
    assert longest_pause < 1.0
    assert time.monotonic() - start < 30  # A look-up that takes a minute goes on.
