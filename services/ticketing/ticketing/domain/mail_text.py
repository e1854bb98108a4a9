"""The words of a mail: HTML made text, what was quoted and signed taken away. All in time linear in the length."""

import html
import re

_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]{0,20})")
_UNSHOWN = ("script", "style", "head", "title", "template")
_ENDS = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in _UNSHOWN}
_BLOCKS = frozenset(
    ["address", "article", "blockquote", "br", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer",
     "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
     "table", "tr", "ul"]
)  # fmt: skip
_CELLS = frozenset(["td", "th"])
_LONG_REFERENCE = re.compile(r"&#x?[0-9a-fA-F]{8,}")
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160), *range(8234, 8239), *range(8294, 8298)])
_KEPT_CONTROLS = {**_CONTROLS, 9: " ", 10: "\n"}

_ATTRIBUTION = re.compile(
    r"(?:on|am|le|el|il|op)\s.{4,200}"
    r"(?:wrote|writes|schrieb|geschrieben|schreibt|a écrit|escribió|ha scritto|schreef)\b"
    r".{0,120}:\s*$",
    re.IGNORECASE,
)
_DIVIDER = re.compile(
    r"-{2,}\s*(?:original message|original appointment|ursprüngliche nachricht|original-nachricht"
    r"|forwarded message|weitergeleitete nachricht|urspruengliche nachricht|message d'origine|mensaje original)"
    r"\s*-{2,}",
    re.IGNORECASE,
)
_FROM_LINE = re.compile(r"\*?(?:from|von|de|da|van)\*?:\*?\s", re.IGNORECASE)
_SENT_LINE = re.compile(r"\*?(?:sent|date|gesendet|datum|envoyé|enviado|inviato|verzonden)\*?:\*?\s", re.IGNORECASE)
_RULE = re.compile(r"[_=-]{10,}$")
_DEVICE = re.compile(
    r"(?:sent from my|sent from (?:mail|outlook|yahoo|gmail)|get outlook for|von meinem|gesendet von|gesendet mit|"
    r"diese nachricht wurde von meinem)\b.{0,100}$",
    re.IGNORECASE,
)


def text_of_html(page: str) -> str:
    """The words of a page, a line for each block; what stands in `blockquote` begins with `> `."""
    pieces: list[tuple[int, str]] = []
    depth = at = 0
    while at < len(page):
        tag = page.find("<", at)
        pieces.append((depth, _plain(page[at : tag if tag >= 0 else len(page)])))
        if tag < 0:
            break
        if page.startswith("<!--", tag):
            at = _after(page, "-->", tag + 4)
            continue
        found = _TAG.match(page, tag)
        if found is None:
            if page[tag + 1 : tag + 2] in ("!", "?", "/"):
                at = _after(page, ">", tag)
            else:
                pieces.append((depth, "<"))
                at = tag + 1
            continue
        at = _after(page, ">", found.end())
        name, closing = found[1].lower(), page.startswith("</", tag)
        if name in _UNSHOWN and not closing:
            end = _ENDS[name].search(page, at)
            at = _after(page, ">", end.end()) if end else len(page)
        elif name in _BLOCKS:
            if name == "blockquote":
                depth = max(0, depth - 1) if closing else depth + 1
            pieces.append((depth, "\n- " if name == "li" and not closing else "\n"))
        elif name in _CELLS:
            pieces.append((depth, " "))
    return _laid_out(pieces)


def clean(text: str) -> str:
    """The text with LF line ends, without control characters, at most one empty line in a row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_KEPT_CONTROLS)
    lines: list[str] = []
    for line in text.split("\n"):
        line = line.rstrip()
        if line or (lines and lines[-1]):
            lines.append(line)
    return _encodable("\n".join(lines).strip())


def clean_line(text: str) -> str:
    """The text on one line, without control characters and marks that turn the direction of writing."""
    return _encodable(" ".join(text.translate({**_CONTROLS, 9: " ", 10: " ", 13: " "}).split()))


def new_words(text: str) -> str:
    """What the sender wrote: without quoted history and signature; the whole text when that would leave nothing."""
    lines = text.split("\n")
    kept: list[str] = []
    for number, line in enumerate(lines):
        bare = line.strip()
        if _begins_history(lines, number, bare):
            break
        if line.rstrip() == "--" or (line.startswith("-- ") and not bare.strip("- ")):
            break
        if not bare.startswith(">"):
            kept.append(line)
    while kept and (not kept[-1].strip() or _DEVICE.match(kept[-1].strip()) or _RULE.match(kept[-1].strip())):
        kept.pop()
    return clean("\n".join(kept)) or text


def _begins_history(lines: list[str], number: int, bare: str) -> bool:
    """Whether the mail that was answered begins here."""
    if _DIVIDER.match(bare):
        return True
    following = [line.strip() for line in lines[number + 1 : number + 4]]
    if _FROM_LINE.match(bare) and any(_SENT_LINE.match(line) for line in following):
        return True
    # The line "On ... wrote:" may be broken once; what follows it is quoted, or the end.
    for attribution, rest in ((bare, following), (f"{bare} {following[0] if following else ''}", following[1:])):
        if len(attribution) <= 400 and _ATTRIBUTION.match(attribution):
            quoted = next((line for line in rest if line), ">")
            return quoted.startswith(">") or number + 1 >= len(lines) - 3
    return False


def _after(page: str, end: str, start: int) -> int:
    found = page.find(end, start)
    return len(page) if found < 0 else found + len(end)


def _plain(source: str) -> str:
    words = html.unescape(_LONG_REFERENCE.sub(" ", source)) if "&" in source else source
    return re.sub(r"\s+", " ", words)


def _laid_out(pieces: list[tuple[int, str]]) -> str:
    lines: list[str] = []
    current: list[str] = []
    quoted = False

    def end_line() -> None:
        line = " ".join("".join(current).split())
        lines.append(f"> {line}" if quoted and line else line)
        current.clear()

    for depth, text in pieces:
        if text.startswith("\n"):
            end_line()
            quoted, text = depth > 0, text[1:]
        current.append(text)
    end_line()
    return "\n".join(lines)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
