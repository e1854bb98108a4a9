"""Sends what a service owns to one queue again: for a new service, a rebuilt projection, an adapter.

    python -m eventing.republish --service identity --to consent [--since 2026-01-31T00:00:00Z] [--kinds STATE,FACT]

STATE events are made from the aggregates as they are now, FACT events come from the fact log (90 days). A repeat does
no harm: states carry the version they describe, facts their own ids. An interrupted run goes on where it was when it
is started again with the same arguments.
"""

import argparse
import hashlib
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

import docstore
from chassis import clock, tenancy
from chassis.settings import ConfigurationError, Settings, load
from docstore.outbox import people
from eventing.envelope import Envelope
from eventing.records import Fact
from eventing.relay.publisher import Outgoing, Publisher

Row = dict[str, Any]

STATE, FACT = "STATE", "FACT"

_PAGE = 500
_CONNECT_TIMEOUT_S = 30.0
_PROGRESS = "eventing_republish"


class NotConfirmed(Exception):  # noqa: N818
    """The broker did not take everything; start the same command again to go on."""


def republish(
    settings: Settings, to_queue: str, since: datetime | None = None, kinds: Iterable[str] = (STATE, FACT)
) -> int:
    """Publishes the service's events straight to `to_queue`; returns how many. Needs `docstore.connect`.

    since: only aggregates changed, and facts published, at or after this instant. Raises NotConfirmed when the broker
    is away or there is no such queue.
    """
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set")
    kinds = sorted(set(kinds))
    import_module(f"{settings.service}.store")  # registers the aggregates
    publisher = Publisher(settings.amqp_uri.get_secret_value(), f"{settings.service} republish")
    try:
        if not publisher.wait_connected(_CONNECT_TIMEOUT_S):
            raise NotConfirmed("the broker does not answer")
        with docstore.platform_scope():
            run = f"{to_queue} {since.isoformat() if since else '-'} {','.join(kinds)}"
            return _Run(settings.service, to_queue, since, run, publisher).publish(kinds)
    finally:
        publisher.close()


class _Run:
    """One run; `positions` in the database say how far each collection has come."""

    def __init__(self, service: str, queue: str, since: datetime | None, key: str, publisher: Publisher) -> None:
        self._service = service
        self._queue = queue
        self._since = since
        self._key = key
        self._publisher = publisher
        self._progress = docstore.platform_collection(_PROGRESS)

    def publish(self, kinds: Sequence[str]) -> int:
        """Everything that is left of the run."""
        count = 0
        if STATE in kinds:
            for cls in docstore.aggregates():
                count += self._collection(cls._get_collection_name(), cls)
        if FACT in kinds:
            count += self._facts()
        self._progress.delete_one({"_id": self._key})
        return count

    def _collection(self, name: str, cls: type[docstore.Aggregate]) -> int:
        changed: Row = {"update_time": {"$gte": self._since}} if self._since else {}
        count, last = 0, self._position(name)
        while True:
            query = {**changed, "purged": None, **({"_id": {"$gt": last}} if last else {})}
            found = docstore.platform_collection(name).find(query, cls.projection(), sort=[("_id", 1)], limit=_PAGE)
            rows = list(found)
            if not rows:
                return count
            count += self._send(envelope for row in rows for envelope in _states(self._service, cls, row))
            last = rows[-1]["_id"]
            self._note(name, last)

    def _facts(self) -> int:
        name = Fact._get_collection_name()
        count, position = 0, self._position(name)
        while True:
            query: Row = {"publish_time": {"$gte": self._since}} if self._since else {}
            if position:
                later = {"publish_time": position["time"], "_id": {"$gt": position["id"]}}
                query = {"$or": [{"publish_time": {"$gt": position["time"]}}, later]}
            order = [("publish_time", 1), ("_id", 1)]
            rows = list(docstore.platform_collection(name).find(query, sort=order, limit=_PAGE))
            if not rows:
                return count
            count += self._send(Envelope.from_outbox(row, self._service) for row in rows)
            position = {"time": rows[-1]["publish_time"], "id": rows[-1]["_id"]}
            self._note(name, position)

    def _send(self, envelopes: Iterable[Envelope]) -> int:
        messages = [Outgoing("", self._queue, envelope.to_properties(), envelope.body) for envelope in envelopes]
        burst = self._publisher.wait(self._publisher.send(messages))
        if burst.returned:
            raise NotConfirmed(f"there is no queue {self._queue}")
        if len(burst.confirmed) < len(messages):
            raise NotConfirmed("the broker did not confirm everything: start the same command again to go on")
        return len(messages)

    def _position(self, name: str) -> Any:
        found = self._progress.find_one({"_id": self._key})
        return found["positions"].get(name) if found else None

    def _note(self, name: str, position: Any) -> None:
        done = {f"positions.{name}": position, "update_time": clock.real_now()}
        self._progress.update_one({"_id": self._key}, {"$set": done}, upsert=True)


def _states(service: str, cls: type[docstore.Aggregate], row: Row) -> Iterator[Envelope]:
    with tenancy.service_context(row["tenant"], principal=f"services/{service}"):
        document = cls.from_row(row)
        for index, event in enumerate(document.state_events()):
            event_type = event.DESCRIPTOR.full_name
            yield Envelope(
                id=_stable_id(document.update_time, f"{event_type} {row['_id']} {document.version} {index}"),
                type=event_type,
                source=f"//rapport/{service}",
                subject=document.name,
                tenant=row["tenant"],
                time=document.update_time,
                sequence=(document.version, index),
                body=event.SerializeToString(deterministic=True),
                datasubjects=people(event),
            )


def _stable_id(time: datetime, name: str) -> str:
    """A UUIDv7 whose random part is a hash: republishing the same version makes the same event."""
    value = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16])
    value &= (1 << 80) - 1
    value |= (int(time.timestamp() * 1000) & 0xFFFF_FFFF_FFFF) << 80
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return str(uuid.UUID(int=value))


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m eventing.republish",
        description="Sends what a service owns to one queue again; run it with the service's own environment.",
    )
    parser.add_argument("--service", required=True, help="the owner, whose database is read")
    parser.add_argument("--to", required=True, metavar="QUEUE", help="the queue, usually the consuming service's name")
    parser.add_argument("--since", type=datetime.fromisoformat, help="RFC 3339 instant: only what changed since then")
    parser.add_argument("--kinds", default="STATE,FACT", help="STATE, FACT or both (default)")
    given = parser.parse_args(arguments)
    kinds = given.kinds.split(",")
    if set(kinds) - {STATE, FACT}:
        parser.error("--kinds is STATE, FACT or STATE,FACT")
    if given.since is not None and given.since.tzinfo is None:
        parser.error("--since needs an offset, such as Z")
    try:
        settings = load(Settings, service=given.service, role="republish")
        docstore.connect(settings)
        count = republish(settings, given.to, given.since, kinds)
    except (ConfigurationError, NotConfirmed) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"published {count} events to {given.to}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
