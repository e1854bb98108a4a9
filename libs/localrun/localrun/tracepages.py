"""The two pages of the trace sink: the newest traces, and one trace as a waterfall coloured by service."""

import html
import zlib
from datetime import UTC, datetime
from typing import Any

_STYLE = """<style>body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1d2733}a{color:#0b5cad}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #e3e8ee}
.row{display:flex;border-bottom:1px solid #f0f3f6}.row:hover{background:#f5f7fa}
.name{flex:0 0 42%;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.lane{flex:1;position:relative;height:1.6rem}.bar{position:absolute;top:.3rem;height:1rem;border-radius:3px;min-width:2px}
.time{position:absolute;top:.1rem;font-size:12px;color:#4a5866;white-space:nowrap;padding-left:.3rem}
.tag{display:inline-block;border-radius:3px;padding:0 .4rem;margin-right:.4rem;color:#fff;font-size:12px}
.error{color:#b3261e;font-weight:600}</style>"""


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>{_STYLE}{body}</html>'
    )


def _colour(service: str) -> str:
    """A colour that a service keeps: dark enough for white text."""
    return f"hsl({zlib.crc32(service.encode()) % 360} 55% 38%)"


def _tag(service: str) -> str:
    return f'<span class="tag" style="background:{_colour(service)}">{html.escape(service)}</span>'


def list_page(summaries: list[dict[str, Any]]) -> str:
    """Newest traces, one per line."""
    rows = "".join(
        f"<tr><td>{datetime.fromtimestamp(one['start_ns'] / 1e9, UTC):%H:%M:%S.%f}</td>"
        f'<td><a href="/view/{one["trace_id"]}">{html.escape(one["name"])}</a></td>'
        f"<td>{''.join(_tag(service) for service in one['services'])}</td><td>{one['spans']}</td>"
        f"<td>{one['duration_ms']:.1f} ms</td><td>{'<span class=error>error</span>' if one['error'] else ''}</td></tr>"
        for one in summaries
    )
    head = "<tr><th>UTC</th><th>Begins with</th><th>Services</th><th>Spans</th><th>Took</th><th></th></tr>"
    empty = "" if rows else "<p>No traces yet.</p>"
    return _page("Traces", f"<h1>Traces</h1><table>{head}{rows}</table>{empty}")


def waterfall_page(trace_id: str, spans: list[dict[str, Any]]) -> str:
    """One trace; children are indented below their parents, bars show when and how long."""
    start = min(span["start_ns"] for span in spans)
    total = max(max(span["end_ns"] for span in spans) - start, 1)
    services = "".join(_tag(service) for service in sorted({span["service"] for span in spans}))
    rows = "".join(_row(span, depth, start, total) for span, depth in in_tree_order(spans))
    head = f"<p><a href='/'>All traces</a></p><h1>{html.escape(spans[0]['name'])}</h1><p>{services}</p>"
    return _page(trace_id, f"{head}<p>{trace_id}: {len(spans)} spans, {total / 1e6:.1f} ms</p>{rows}")


def in_tree_order(spans: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Spans with their depth, each after its parent; spans whose parent is not known are roots."""
    known = {span["span_id"] for span in spans}
    children: dict[str, list[dict[str, Any]]] = {}
    for span in sorted(spans, key=lambda one: one["start_ns"], reverse=True):
        parent = span["parent_id"] if span["parent_id"] in known else ""
        children.setdefault(parent, []).append(span)
    ordered, waiting = [], [(span, 0) for span in children.get("", [])]
    while waiting:
        span, depth = waiting.pop()
        ordered.append((span, depth))
        waiting += [(child, depth + 1) for child in children.get(span["span_id"], [])]
    return ordered


def _row(span: dict[str, Any], depth: int, start: int, total: int) -> str:
    left = 100 * (span["start_ns"] - start) / total
    took = span["end_ns"] - span["start_ns"]
    details = "\n".join(f"{key} = {value}" for key, value in sorted(span["attributes"].items()))
    place = f"right:{100 - left:.2f}%" if left > 80 else f"left:{min(left + 100 * took / total, 100):.2f}%"
    name = f"<span class=error>{html.escape(span['name'])}</span>" if span["error"] else html.escape(span["name"])
    return (
        f'<div class="row" title="{html.escape(details)}"><div class="name" style="padding-left:{depth * 14}px">'
        f'{_tag(span["service"])}{name}</div><div class="lane"><span class="bar" style="left:{left:.2f}%;'
        f'width:{100 * took / total:.2f}%;background:{_colour(span["service"])}"></span>'
        f'<span class="time" style="{place}">{took / 1e6:.2f} ms</span></div></div>'
    )
