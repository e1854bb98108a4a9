"""Links in texts and pages: found, and given other targets.

Only links whose origin (scheme and host) stands in the template itself are touched: a name or other value that holds
an address must not get a redirect of ours.
"""

import html
import re
from collections.abc import Callable, Collection

Rewrite = Callable[[str], str]
"""Takes a link's address and returns the one to put in its place."""

_ORIGIN = re.compile(r"https?://[^\s/?#\"'<>{}\\]+(?=[\s/?#\"'<>]|$)", re.IGNORECASE)
_TEXT_LINK = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_TRAILING = ".,;:!?)]}"
_HREF = re.compile(
    r"""(?P<before><a(?:rea)?\b[^>]*?\shref\s*=\s*)(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s>"']+))""",
    re.IGNORECASE,
)


def origins(template: str) -> frozenset[str]:
    """The origins of the links that stand in a template's own text, in lower case."""
    return frozenset(match.group().lower() for match in _ORIGIN.finditer(template))


def rewrite_text(text: str, allowed: Collection[str], rewrite: Rewrite) -> str:
    """The plain text with the targets of its http(s) links replaced."""

    def replaced(match: re.Match[str]) -> str:
        url = match.group()
        link = url.rstrip(_TRAILING)
        return rewrite(link) + url[len(link) :] if _origin_of(link) in allowed else url

    return _TEXT_LINK.sub(replaced, text)


def rewrite_html(page: str, allowed: Collection[str], rewrite: Rewrite) -> str:
    """The HTML with the targets of its http(s) links (`a`, `area`) replaced."""

    def replaced(match: re.Match[str]) -> str:
        url = html.unescape(match["double"] or match["single"] or match["bare"] or "").strip()
        if _origin_of(url) not in allowed:
            return match.group()
        return f'{match["before"]}"{html.escape(rewrite(url))}"'

    return _HREF.sub(replaced, page)


def _origin_of(url: str) -> str:
    found = _ORIGIN.match(url)
    return found.group().lower() if found else ""
