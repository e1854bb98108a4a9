"""Dead letters: look at them, send them again, drop them. Never shows a payload or a person.

    python -m eventing.dead list --service consent [--reason UNKNOWN_TYPE] [--json]
    python -m eventing.dead show --service consent --id EVENT
    python -m eventing.dead replay --service consent (--id EVENT | --reason REASON | --all)
    python -m eventing.dead drop --service consent (--id EVENT | --reason REASON | --all) --yes

The broker's address is RAPPORT_AMQP_URI. A replayed message starts with fresh attempts; handlers that had finished it
do not run again.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict

import pika.exceptions

from eventing import dead_letters
from eventing.dead_letters import MOST, DeadLetter, Selection


def _selection(given: argparse.Namespace) -> Selection:
    return lambda letter: (
        (not given.id or letter.id == given.id) and (not given.reason or letter.reason == given.reason)
    )


def _table(found: list[DeadLetter]) -> str:
    columns = ("id", "type", "tenant", "reason", "handler", "attempts", "time")
    rows = [columns, *(tuple(str(getattr(letter, name)) for name in columns) for letter in found)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0].upper(), *lines[1:]])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eventing.dead",
        description="Dead letters of a service: events its worker gave up. Payloads are never shown.",
        epilog="The broker's address is read from RAPPORT_AMQP_URI.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("list", "list them, oldest first"),
        ("show", "show everything but the payload of one"),
        ("replay", "send them to the service's queue again, with fresh attempts"),
        ("drop", "delete them for good"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--service", required=True, help="short name of the service whose worker gave up")
        command.add_argument("--id", required=name == "show", help="only the event with this id")
        if name != "show":
            command.add_argument("--reason", help="only those given up for this reason, such as UNKNOWN_TYPE")
        if name in ("list", "show"):
            command.add_argument("--json", action="store_true", help="print JSON instead of a table")
        if name == "list":
            command.add_argument("--limit", type=int, default=100, help=f"at most so many (default 100, most {MOST})")
        if name in ("replay", "drop"):
            command.add_argument("--all", action="store_true", help=f"all of them (at most {MOST} per call)")
        if name == "drop":
            command.add_argument("--yes", action="store_true", help="yes, they cannot be brought back")
    return parser


def _run(given: argparse.Namespace, amqp_uri: str, say: Callable[[str], None]) -> int:
    if given.command == "replay":
        say(f"replayed {dead_letters.replay(amqp_uri, given.service, _selection(given))}")
        return 0
    if given.command == "drop":
        say(f"dropped {dead_letters.drop(amqp_uri, given.service, _selection(given))}")
        return 0
    if given.command == "show":
        given.reason = None
    limit = 1 if given.command == "show" else max(1, min(given.limit, MOST))
    found = dead_letters.letters(amqp_uri, given.service, _selection(given), limit)
    if given.command == "show":
        if not found:
            say(f"no dead letter {given.id} among the first {MOST} of {given.service}")
            return 1
        shown = asdict(found[0])
        say(json.dumps(shown, indent=2) if given.json else "\n".join(f"{k:11} {v}" for k, v in shown.items()))
        return 0
    say(json.dumps([asdict(letter) for letter in found], indent=2) if given.json else _table(found))
    return 0


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code: 0, 1 when nothing was found or the broker refused, 2 for misuse."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command in ("replay", "drop") and not (given.id or given.reason or given.all):
        parser.error("say which: --id, --reason or --all")
    if given.command == "drop" and not given.yes:
        parser.error("dropped messages cannot be brought back: add --yes")
    amqp_uri = os.environ.get("RAPPORT_AMQP_URI")
    if not amqp_uri:
        parser.error("RAPPORT_AMQP_URI is not set")
    try:
        return _run(given, amqp_uri, print)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        sys.stderr.write(f"{given.service} has no dead-letter queue: is the topology declared?\n")
    except pika.exceptions.AMQPConnectionError:
        sys.stderr.write("the broker does not answer at RAPPORT_AMQP_URI\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
