"""`python -m localrun up|down|status|logs|run`: the platform on this machine, without containers."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from localrun import daemon, provision, state
from localrun.control import Message, NotRunningError
from localrun.layout import Layout
from localrun.localsecrets import Secrets
from localrun.logfiles import follow, show_last


def main() -> int:
    """Runs the command line; its exit code."""
    arguments = _parser().parse_args()
    layout = Layout(state.directory())
    try:
        return int(arguments.action(layout, arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NotRunningError as error:
        return _complain(f"{error} ({layout.state})")
    except (provision.ProvisionError, daemon.AlreadyRunningError) as error:
        return _complain(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localrun", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    charts = state.workspace() / "charts"

    def command(name: str, action: object, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(action=action)
        return sub

    def with_chart(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--chart", type=Path, default=charts / "rapport", help="chart to run (default: %(default)s)")
        sub.add_argument(
            *("-f", "--values"),
            type=Path,
            action="append",
            help="values file, may be repeated; the first replaces the chart's examples/local/values.yaml",
        )

    with_chart(command("up", _up, "Starts the platform in the background; returns when everything is ready."))
    command("down", _down, "Ends the platform in order.")
    command("status", _status, "Shows each process: pid, phase, restarts, memory, processor time.")
    logs = command("logs", _logs, "Prints the end of a workload's log.")
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing what is added")
    logs.add_argument("-n", "--lines", type=int, default=100)
    logs.add_argument("workload", help="name as `status` shows it, with or without the release's prefix")
    run = command("run", _run, "Starts the platform, runs a command with its addresses, ends the platform.")
    with_chart(run)
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    with_chart(command("supervise", _supervise, "Is the supervisor, in the foreground (what `up` starts)."))
    command("provision", _provision, "Downloads mongod, RabbitMQ and helm into the state folder, nothing else.")
    return parser


def _up(layout: Layout, arguments: argparse.Namespace) -> int:
    return 0 if _start(layout, arguments) else 1


def _start(layout: Layout, arguments: argparse.Namespace) -> bool:
    provision.ensure_all()
    begin = time.monotonic()
    try:
        ready = daemon.up(layout, arguments.chart.resolve(), _values(arguments), _show)
    except KeyboardInterrupt:
        _say("interrupted: ending what was started")
        daemon.down(layout, _show)
        raise
    if ready:
        _say(f"ready after {time.monotonic() - begin:.0f} s")
        _say(_addresses(daemon.status(layout)))
    return ready


def _values(arguments: argparse.Namespace) -> list[Path]:
    given: list[Path] = arguments.values or [arguments.chart / "examples/local/values.yaml"]
    return [path.resolve() for path in given]


def _down(layout: Layout, _: argparse.Namespace) -> int:
    if not daemon.down(layout, _show):
        _say("nothing is running")
    return 0


def _status(layout: Layout, _: argparse.Namespace) -> int:
    status = daemon.status(layout)
    print(f"{'WORKLOAD':28} {'PID':>8} {'PHASE':12} {'RESTARTS':>8} {'RSS':>8} {'CPU':>7}")
    for row in status["workloads"]:
        memory = f"{row['rss_bytes'] / 2**20:.0f} MiB"
        numbers = f"{row['restarts']:>8} {memory:>8} {row['cpu_percent']:>6}%"
        print(f"{row['name']:28} {row['pid'] or '-':>8} {row['phase']:12} {numbers}")
    print(_addresses(status))
    return 0 if status["ready"] else 1


def _logs(layout: Layout, arguments: argparse.Namespace) -> int:
    names = (arguments.workload, f"rapport-{arguments.workload}")
    log = next((path for name in names if (path := layout.logs / f"{name}.log").is_file()), None)
    if log is None:
        known = ", ".join(sorted(path.stem for path in layout.logs.glob("*.log")))
        return _complain(f"no log of {arguments.workload}; there are: {known or 'none'}")
    position = show_last(log, arguments.lines)
    if arguments.follow:
        follow(log, position)
    return 0


def _run(layout: Layout, arguments: argparse.Namespace) -> int:
    command = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not command:
        return _complain("nothing to run: python -m localrun run -- COMMAND")
    ours = not daemon.is_running(layout)
    try:
        if not _start(layout, arguments):
            return 1
        env = os.environ | daemon.status(layout)["addresses"]
        if key := Secrets(layout.state / "secrets.json").peek("access.bootstrap-key"):
            env["RAPPORT_BOOTSTRAP_KEY"] = key
        return subprocess.run(command, env=env, check=False).returncode
    except FileNotFoundError:
        return _complain(f"{command[0]}: not found")
    finally:
        if ours:
            daemon.down(layout, _show)
        else:
            _say("the platform ran before and is left running")


def _supervise(layout: Layout, arguments: argparse.Namespace) -> int:
    daemon.supervise(layout, arguments.chart.resolve(), _values(arguments))
    return 0


def _provision(_: Layout, __: argparse.Namespace) -> int:
    provision.ensure_all()
    return 0


def _show(message: Message) -> None:
    seconds = f"{message['seconds']:6.1f} s  " if "seconds" in message else ""
    _say(f"{seconds}{message['text']}")


def _addresses(status: Message) -> str:
    """Where things are, and whether the business clock was moved: it stays so until somebody moves it back."""
    lines = [f"{name} = {_without_password(address)}" for name, address in status["addresses"].items()]
    if clock := status["addresses"].get("RAPPORT_CLOCK_FILE"):
        offset = json.loads(Path(clock).read_text())["offset_seconds"]
        if offset:
            lines.append(
                f"The business clock is {offset / 86400:+.1f} days off (offset_seconds in RAPPORT_CLOCK_FILE)."
            )
    return "\n".join(lines)


def _without_password(address: str) -> str:
    before, at, after = address.rpartition("@")
    return f"{before.rpartition(':')[0]}:...@{after}" if at else address


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _complain(text: str) -> int:
    _say(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
