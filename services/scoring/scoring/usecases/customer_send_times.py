"""Send times of customers: asked for, and taken away from who objects, is merged or erased."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import NotFound
from docstore import Row, aliases
from scoring.store import CustomerSendTime
from scoring.store.objections import objecting
from scoring.store.scores import tell


def found(name: str) -> Row:
    """The stored row of a send time (resource name). Raises NotFound PROFILING_OBJECTED or SEND_TIME_NOT_KNOWN."""
    customer = name.rpartition("/")[0]
    canonical = aliases.resolve([customer])[customer]
    row = CustomerSendTime.rows().find_one({"uid": fields.uid(canonical)})
    if row is not None:
        return row
    metadata = {"resource": name}
    if objecting([canonical]):
        raise NotFound(
            "PROFILING_OBJECTED", f"{name} does not exist: the customer objects to profiling.", metadata=metadata
        )
    raise NotFound(
        "SEND_TIME_NOT_KNOWN",
        f"{name} does not exist: no scoring job of KIND_SEND_TIME knew what the customer did within 365 days, or "
        "enough of all customers, or consent refused. Start a job; its message says what it missed.",
        metadata=metadata,
    )


def remove(customers: Collection[str]) -> None:
    """Takes the send times of these customers (resource names) away and tells whose; part of a transaction."""
    rows = list(CustomerSendTime.rows().find(_of(customers), {"customer": 1, "change_time": 1}))
    if not rows:
        return
    CustomerSendTime.rows().delete_many(_of(customers))
    names = [row["customer"] for row in rows]
    event = events_pb2.SendTimesUpdated(removed_customers=names)
    event.change_time.FromDatetime(_after(rows))
    tell([(event, names)])


def forget(customers: Collection[str]) -> int:
    """Forgets the send times of erased customers, nothing is told; returns how many had any."""
    return CustomerSendTime.rows().delete_many(_of(customers)).deleted_count


def change_time(customers: Collection[str]) -> datetime:
    """What is told of these customers (resource names) says that it changed now, and after all that was told."""
    return _after(CustomerSendTime.rows().find(_of(customers), {"change_time": 1}))


def _after(rows: Iterable[Row]) -> datetime:
    # The clock of the process that told them may be ahead of this one's, and who listens drops what is older.
    told: list[datetime] = [row["change_time"] for row in rows if row.get("change_time")]
    return max([docstore.whole_milliseconds(clock.now()), *(time + timedelta(milliseconds=1) for time in told)])


def _of(customers: Iterable[str]) -> Row:
    return {"uid": {"$in": [fields.uid(name) for name in customers]}}
