"""The plots of a page, as a real browser shows them."""

from pathlib import Path

from localrun import browser

_MEASURE = """<script>
document.title = [document.documentElement.scrollWidth, ...[...document.querySelectorAll("svg")].map(each =>
  [each.querySelector("title").textContent, Math.round(each.getBoundingClientRect().width),
   [...each.querySelectorAll("rect.a, rect.b, polyline, path")].filter(mark => mark.getBoundingClientRect().width > 0)
     .length].join(": "))].join("; ");
</script>"""
WIDTH = 500
"""Of the window: a phone's, as narrow as the browser makes one."""


def seen_plots(page: str, folder: Path) -> dict[str, tuple[int, int]]:
    """By the title of each plot, how wide it is and how many marks are to be seen in it.

    The page itself runs nothing; what measures it is put there. Fails where something sticks out to the side.
    """
    file = folder / "card.html"
    file.write_text(page.replace("</body>", f"{_MEASURE}</body>"))
    title = browser.elements(file.as_uri(), WIDTH, 800).partition("<title>")[2].partition("</title>")[0]
    across, *plots = title.split("; ")
    assert int(across) <= WIDTH
    return {name: (int(width), int(marks)) for name, width, marks in (plot.split(": ") for plot in plots)}
