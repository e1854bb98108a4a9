"""UUIDv7: the one kind of id of the platform (RFC 9562, section 5.7)."""

import secrets
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

_COUNTER_BITS = 42
_COUNTER_MAX = (1 << _COUNTER_BITS) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_lock = threading.Lock()
_last_ms = -1
_counter = 0


def uuid7() -> str:
    """A new id, greater than every id this process made before.

    Method 1 of RFC 9562, section 6.2: milliseconds of the real clock, then a 42-bit counter that starts at random
    (upper half free, against rollover) each new millisecond, then 32 random bits. When the clock steps back or the
    counter is full, the last millisecond is kept or moved on by one: order holds, time is off by that much.
    """
    global _last_ms, _counter
    now = time.time_ns() // 1_000_000
    with _lock:
        if now > _last_ms:
            _last_ms = now
            _counter = secrets.randbits(_COUNTER_BITS - 1)
        else:
            _counter += 1
            if _counter > _COUNTER_MAX:
                _last_ms += 1
                _counter = secrets.randbits(_COUNTER_BITS - 1)
        ms, counter = _last_ms, _counter
    value = (ms & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76
    value |= (counter >> 30) << 64
    value |= 0b10 << 62
    value |= (counter & 0x3FFF_FFFF) << 32
    value |= secrets.randbits(32)
    return str(uuid.UUID(int=value))


def time_of(uuid7: str) -> datetime:
    """The instant in a UUIDv7, to the millisecond. Raises ValueError for anything else."""
    parsed = uuid.UUID(uuid7)
    if parsed.version != 7:
        raise ValueError(f"expected a UUID of version 7, not {parsed.version}")
    return _EPOCH + timedelta(milliseconds=parsed.int >> 80)
