"""The table of day rates is read anew when it has changed, also from web servers."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from scoring.usecases import current_rates

FIRST = "Date,USD\n2026-01-05,1.25\n"
SECOND = FIRST + "2026-03-05,2.0\n"
DAY_US = 86_400_000_000
MARCH = 20_517 * DAY_US
"""2026-03-05."""


class Web:
    """A table on a web server. mark: header and value that tell of a change, if any."""

    def __init__(self) -> None:
        self.table = FIRST
        self.mark: tuple[str, str] | None = None
        self.sized = True
        self.reads = 0
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                if web.sized:
                    self.send_header("Content-Length", str(len(web.table)))
                if web.mark:
                    self.send_header(*web.mark)
                self.end_headers()

            def do_GET(self) -> None:
                web.reads += 1
                self.do_HEAD()
                self.wfile.write(web.table.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/rates.csv"

    def rate(self) -> int | None:
        """What a hundred dollars of March are in cents of a euro, looked up now."""
        if current_rates._table:
            current_rates._table.looked -= current_rates.LOOK_EVERY_S
        return current_rates.to("EUR", self.url, "EUR")(10_000, "USD", MARCH)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(current_rates, "_table", None)
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, args=(0.01,))
    thread.start()
    yield web
    web.server.shutdown()
    web.server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("ETag", "one"), ("ETag", "two")),
        (("Last-Modified", "Thu, 05 Mar 2026 08:00:00 GMT"), ("Last-Modified", "Thu, 05 Mar 2026 16:00:00 GMT")),
    ],
)
def test_a_table_that_a_web_server_tells_has_changed_is_read_anew(
    web: Web, before: tuple[str, str], after: tuple[str, str]
) -> None:
    web.mark = before
    assert (web.rate(), web.rate()) == (None, None)
    reads = web.reads
    assert web.rate() is None
    assert web.reads == reads, "as long as it has not"
    web.table, web.mark = SECOND, after
    assert web.rate() == 5_000


@pytest.mark.parametrize("sized", [True, False])
def test_a_table_whose_web_server_tells_nothing_is_read_now_and_then(
    web: Web, monkeypatch: pytest.MonkeyPatch, sized: bool
) -> None:
    web.sized = sized
    web.table = SECOND
    monkeypatch.setattr(current_rates, "READ_EVERY_S", 1e9)
    assert web.rate() == 5_000
    web.table = SECOND.replace("2.0", "2.5")
    assert web.rate() == 5_000, "the same while"
    monkeypatch.setattr(current_rates, "READ_EVERY_S", 1e-6)
    assert web.rate() == 4_000
