"""The places outside its own folders that a new service is named in.

Each is a file of the workspace with lists a person keeps in order; a new name goes to their end. Every edit finds its
place by what stands there today and raises `UnexpectedShapeError` when it does not, before anything is written.
"""

import re
from collections.abc import Callable
from pathlib import Path


class UnexpectedShapeError(Exception):
    """A file of the workspace does not look as it should; says which and what was looked for."""


def edits(root: Path, service: str) -> dict[Path, str]:
    """The files to change, with their new content. Raises UnexpectedShapeError."""
    of: dict[str, Callable[[str, str], str]] = {
        "pyproject.toml": _tools,
        "charts/rapport/Chart.yaml": _alias,
        "charts/rapport/values.yaml": _values,
        "charts/rapport/values.schema.json": _schema,
        "charts/rapport/examples/local/values.yaml": _local,
        "charts/rapport/examples/production/values.yaml": _production,
        "libs/testkit/testkit/__main__.py": _tested,
    }
    changed: dict[Path, str] = {}
    for name, edit in of.items():
        try:
            changed[root / name] = edit((root / name).read_text(), service)
        except LookupError as missing:
            raise UnexpectedShapeError(f"{name}: there is no {missing.args[0]}") from None
    return changed


def _after_last(pattern: str, text: str, added: Callable[[re.Match[str]], str]) -> str:
    found = list(re.finditer(pattern, text, re.MULTILINE))
    if not found:
        raise LookupError(pattern)
    return text[: found[-1].end()] + added(found[-1]) + text[found[-1].end() :]


def _tools(text: str, service: str) -> str:
    """Lists of packages for import order, types and import rules: each that names the consent service."""
    listed = re.compile(r'^(.* = \[.*"consent".*)\]$', re.MULTILINE)
    if not listed.search(text):
        raise LookupError("list of services")
    text = listed.sub(rf'\1, "{service}"]', text)
    return _after_last(r"^mypy_path = \"[^\"]*", text, lambda _: f":services/{service}")


def _alias(text: str, service: str) -> str:
    return _after_last(r"^  - \{name: service, alias: \w+.*\n", text, lambda last: _renamed(last.group(), service))


def _renamed(line: str, service: str) -> str:
    alias = re.search(r"alias: (\w+)", line)
    if alias is None:
        raise LookupError("alias")
    return re.sub(rf"\b{alias.group(1)}\b", service, line)


def _values(text: str, service: str) -> str:
    block = f"{service}:\n  enabled: true\n  roles:\n    serve: {{}}\n    relay: {{}}\n\n"
    if "\ngateway:\n" not in text:
        raise LookupError("block gateway")
    text = text.replace("\ngateway:\n", f"\n{block}gateway:\n")
    return _after_last(r"^  upstreams: \[access, [^\]]*", text, lambda _: f", {service}")


def _schema(text: str, service: str) -> str:
    return _after_last(
        r'^    "\w+": \{"type": "object"\},\n', text, lambda _: f'    "{service}": {{"type": "object"}},\n'
    )


def _local(text: str, service: str) -> str:
    """The next ten loopback addresses."""
    used = [int(number) for number in re.findall(r"127\.0\.1\.(\d+)$", text, re.MULTILINE)]
    if not used:
        raise LookupError("address 127.0.1.n")
    first = max(used) // 10 * 10 + 10
    added = "".join(f"    {service}-{role}: 127.0.1.{first + place}\n" for place, role in ((0, "serve"), (2, "relay")))
    return _after_last(r"^    [\w-]+: 127\.0\.1\.\d+\n", text, lambda _: added)


def _production(text: str, service: str) -> str:
    text = _after_last(r"^#   rapport-\w+ +mongodb-uri.*\n", text, lambda _: f"#   rapport-{service} mongodb-uri\n")
    block = (
        f"{service}:\n  secrets: {{existingSecret: rapport-{service}}}\n"
        "  roles:\n    serve: {replicas: 2}\n    relay: {replicas: 1}\n\n"
    )
    if "\ngateway:\n" not in text:
        raise LookupError("block gateway")
    return text.replace("\ngateway:\n", f"\n{block}gateway:\n")


def _tested(text: str, service: str) -> str:
    return _after_last(r'^    "services/\w+",\n', text, lambda _: f'    "services/{service}",\n')
