"""`python -m scaffold SERVICE [RESOURCE]`: writes a service with one resource and connects it."""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from scaffold import wiring

_NAME = re.compile(r"[a-z]{3,24}")


def main() -> int:
    """Returns 0 when the service was written."""
    parser = argparse.ArgumentParser(
        prog="python -m scaffold", description="Writes a new service in the shape of the others and connects it."
    )
    parser.add_argument("service", help="its name: 3 to 24 lower-case letters, such as loyalty")
    parser.add_argument("resource", nargs="?", default="", help="its first resource, in the singular, such as program")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the workspace; the present folder if not given")
    arguments = parser.parse_args()
    service, resource = arguments.service, arguments.resource or f"{arguments.service}item"
    for what, name in (("service", service), ("resource", resource)):
        if not _NAME.fullmatch(name):
            return _refuse(f"{name!r} cannot name a {what}: use 3 to 24 lower-case letters, such as loyalty.")
    if service == resource:
        return _refuse("A service and its resource need two names, such as loyalty and program.")
    root = arguments.root.resolve()
    taken = [folder for folder in (root / "services" / service, root / "protos/rapport" / service) if folder.exists()]
    if taken:
        return _refuse(f"{taken[0].relative_to(root)} exists: there is such a service.")
    clash = _route_taken(root, resource)
    if clash:
        return _refuse(f"/v1/{resource}s is a route of {clash}; name another resource with R=...")
    try:
        changed = wiring.edits(root, service)
    except wiring.UnexpectedShapeError as error:
        return _refuse(f"Nothing was written: {error}.")
    written = [*_write_files(root, service, resource)]
    for path, content in changed.items():
        path.write_text(content)
    _tidy(written, root)
    for path in [*written, *changed]:
        print(f"  {path.relative_to(root)}")
    print(
        f"\n{service} is there. Next: make test T=services/{service}, then replace its TODO({service}) notes, "
        "give e2e/seeds.py a value for its resource, and make lint."
    )
    return 0


def _refuse(problem: str) -> int:
    print(problem, file=sys.stderr)
    return 2


def _route_taken(root: Path, resource: str) -> str:
    """The service proto that has this collection already."""
    wanted = re.compile(rf'"/v1/(\{{name=)?{resource}s["/:]')
    for proto in sorted((root / "protos/rapport").glob("*/v1/*_service.proto")):
        if wanted.search(proto.read_text()):
            return proto.name
    return ""


def _write_files(root: Path, service: str, resource: str) -> Iterator[Path]:
    names = {"service": service, "Service": service.capitalize()}
    names |= {"resource": resource, "Resource": resource.capitalize()}

    def filled(text: str) -> str:
        for name, value in names.items():
            text = text.replace(f"<<{name}>>", value)
        return text

    for relative, file in _files(resources.files("scaffold") / "template"):
        path = root / filled(relative.removesuffix(".template"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(file.read_text()))
        yield path


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        else:
            yield name, entry


def _tidy(written: list[Path], root: Path) -> None:
    """Import order and line breaks depend on the names that were filled in."""
    python = [str(path) for path in written if path.suffix == ".py"]
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", *python], cwd=root, check=True)


if __name__ == "__main__":
    sys.exit(main())
