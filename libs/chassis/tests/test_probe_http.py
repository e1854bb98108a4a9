import urllib.error
import urllib.request

import pytest

from chassis.probe import Probe


@pytest.fixture
def probe(settings):
    with Probe(settings(bind_host="127.0.0.1", probe_port=0)) as opened:
        yield opened


def answer(probe: Probe, path: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{probe.port}{path}", timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_ready_when_told(probe):
    assert (answer(probe, "/livez"), answer(probe, "/readyz"), answer(probe, "/other")) == (200, 503, 404)
    probe.ready()
    assert answer(probe, "/readyz") == 200
    probe.ready(False)
    assert answer(probe, "/readyz") == 503


def test_alive_while_all_checks_hold(probe):
    alive = [True]
    probe.alive_check(lambda: alive[0])
    probe.ready()
    assert (answer(probe, "/livez"), answer(probe, "/readyz")) == (200, 200)
    alive[0] = False
    assert (answer(probe, "/livez"), answer(probe, "/readyz")) == (503, 503)


def test_failing_check_means_not_alive(probe):
    probe.alive_check(lambda: 1 / 0 == 0)
    assert answer(probe, "/livez") == 503
