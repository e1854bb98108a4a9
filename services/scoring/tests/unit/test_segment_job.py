"""The program that recomputes segments: what it writes, what it leaves as it is, and what it refuses."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from scoring import people_files
from scoring.domain import person_forms
from scoring.domain.person import Person
from scoring.domain.person_forms import Needs
from scoring.jobs import program, segments
from scoring.jobs.files import Folder
from scoring.jobs.progress import Progress, Reporter
from scoring.jobs.segment_spec import SegmentJobSpec
from scoring.rewritten_parquet import names_any
from scoring.rulebook import rulebook

NOW = 1_780_000_000_000
DAY = 86_400_000
SEGMENTS = {
    "pages": "count(Page, 2d) >= 1",
    "pros": "traits.plan = pro",
    "some": "in_segment(pages) OR in_segment(gone)",
}


def row(number: int, *inside: str, page: int | None = None, **values: Any) -> dict[str, Any]:
    """A customer who looked at a page so many days ago, or never did."""
    times = [] if page is None else [NOW - page * DAY]
    ends = {"n": len(times), "sum": 0, "first": NOW, "last": times[0] if times else 0}
    series: Any = {"Page": [{"e": "Page", "s": "shop", "c": "", "t": times, "a": [0] * len(times), "i": times, **ends}]}
    person = Person(NOW, {"traits.plan": "pro" if number % 3 == 0 else "free"}, series=series)
    needs = Needs.of(rulebook(frozenset(SEGMENTS.items())).conditions.values())
    form = person_forms.written(person, needs)
    given = {"members": [], "instant": NOW, "segments": list(inside), "due": None, "stale": False, "person": form}
    return given | {"customer": f"customers/{number}"} | values


def told(folder: Path, *files: list[dict[str, Any]], **values: Any) -> SegmentJobSpec:
    """Writes files of customers, and what the program is told of them."""
    parts = []
    for number, rows in enumerate(files):
        file = people_files.Writer()
        file.add(rows)
        name = f"people-{number}.parquet"
        (folder / name).write_bytes(file.content())
        parts.append({"name": name, "rows": len(rows), "chunk_bytes": file.chunk_bytes})
    asked = [{"uid": uid, "expression": text} for uid, text in SEGMENTS.items()]
    given = {"tenant": "acme", "people": str(folder), "parts": parts, "segments": asked, "executor": "in_process"}
    return SegmentJobSpec.model_validate({**given, "output": str(folder / "result"), **values})


def carried_out(spec: SegmentJobSpec) -> list[tuple[str, list[str], bool]]:
    """All rows that the program writes."""
    output = Folder(spec.output)
    segments.run(spec, output, Reporter(output))
    paths = sorted(Path(spec.output).glob("memberships-*.parquet"))
    return [tuple(each.values()) for path in paths for each in pq.read_table(path).to_pylist()]


def test_it_tells_where_everybody_belongs_and_of_whom_something_else_is_stored(tmp_path) -> None:
    due = NOW + DAY
    right = [row(1, "pages", "some", page=1, due=due), row(2), row(3, "pros")]
    other = [
        row(4, "pages", page=1, due=due),
        row(5, "unknown"),
        row(6, "pros", stale=True),
        row(7, "pages", "some", page=1),
        row(8, "pages", "some", page=1, due=due + 1),
        row(9, "pros", person=None),
    ]
    looked_at_anyway = [row(10, "pages", due=NOW), row(11, person=None), row(13, "pages", "some", page=1, due=due - 1)]
    found = carried_out(told(tmp_path, right, [], other, looked_at_anyway))
    pages, pros = ["pages", "some"], ["pros"]
    assert [inside for _, inside, _ in found] == [pages, [], pros, pages, [], pros, pages, pages, [], [], [], pages]
    differing = [name for name, _, differs in found if differs]
    assert differing == [each["customer"] for each in other]
    output = Folder(str(tmp_path / "result"))
    done = json.loads((tmp_path / "result" / "_SUCCESS").read_text())
    assert (done["customers"], done["differing"], done["place"]) == (12, 6, "in this process, 1 thread")
    progress = Progress.read(output)
    assert progress is not None
    assert (progress.rows, progress.percent) == (12, 100.0)


def test_segments_whose_members_are_being_found_are_left_to_who_does_it(tmp_path) -> None:
    spec = told(tmp_path, [row(1, page=1), row(2, "pages"), row(3)], following=["pages", "some"])
    assert carried_out(spec) == [
        ("customers/1", [], False),
        ("customers/2", [], False),
        ("customers/3", ["pros"], True),
    ]


def test_what_is_finished_stays_unless_something_else_is_asked(tmp_path) -> None:
    rows = [row(1, page=1)], [row(2)]
    carried_out(told(tmp_path, *rows))
    paths = sorted((tmp_path / "result").glob("memberships-*.parquet"))
    before, content = [path.stat().st_mtime_ns for path in paths], [path.read_bytes() for path in paths]
    carried_out(told(tmp_path, *rows))
    assert [path.stat().st_mtime_ns for path in paths] == before
    paths[0].write_bytes(b"")
    carried_out(told(tmp_path, *rows))
    assert [path.read_bytes() for path in paths] == content, "equal files of equal ones"
    carried_out(told(tmp_path, *rows, following=["some"]))
    assert [path.read_bytes() == was for path, was in zip(paths, content, strict=True)] == [False, False]


def test_a_row_names_all_whose_data_are_in_it() -> None:
    file = people_files.Writer()
    file.add([row(1, members=["customers/2", "customers/3"]), row(4)])
    content = file.content()
    named = {name for name in map("customers/{}".format, range(6)) if names_any(io.BytesIO(content), [name])}
    assert named == {f"customers/{number}" for number in (1, 2, 3, 4)}


def test_lost_files_files_of_another_version_and_too_little_memory_are_told(tmp_path, monkeypatch) -> None:
    with pytest.raises(program.UnusableError, match="RESOURCE_EXHAUSTED: A file of customers needs about"):
        carried_out(told(tmp_path, [row(1)], memory_mb=16))
    with monkeypatch.context() as patched:
        patched.setattr(people_files, "FORM", 0)
        spec = told(tmp_path, [row(1)])
    with pytest.raises(program.UnusableError, match="was written by another version"):
        carried_out(spec)
    (tmp_path / "people-0.parquet").unlink()
    with pytest.raises(program.UnusableError, match="What is known of customers cannot be used"):
        carried_out(spec)
