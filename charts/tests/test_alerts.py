"""Alert rules and dashboards ask for metrics there are, promtool understands them, and each alert fires in time."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis import metric_names
from chassis.metric_names import Metric
from localrun import provision, state

Manifest = dict[str, Any]
UMBRELLA = state.workspace() / "charts/rapport"
RULES = sorted((UMBRELLA / "rules").glob("*.yaml"))
DASHBOARDS = sorted((UMBRELLA / "dashboards").glob("*.json"))
NAME = re.compile(r"\b(?:rapport|rpc|http|messaging)_[a-z_]+")

CALLS = 'rpc_server_call_duration_seconds_count{job="rapport/sales",rpc_response_status_code="%s"}'
REQUESTS = 'http_server_request_duration_seconds_count{job="rapport/gateway",http_response_status_code="%s"}'
SLOW = 'rpc_server_call_duration_seconds_bucket{job="rapport/sales",le="%s"}'
SALES = '{job="rapport/sales"}'
OUTBOX = "rapport_outbox_age_seconds" + SALES
DEAD = 'rapport_events_dead_total{job="rapport/sales",rapport_event_type="a",rapport_event_reason="b"}'
MAILS = 'rapport_mail_sent_total{job="rapport/sales",rapport_mail_outcome="%s"}'
INGESTED = 'rapport_ingest_events_total{rapport_ingest_outcome="%s"}'
FAILED_JOBS = 'rapport_scoring_jobs_total{rapport_scoring_outcome="failed"}'
DRIFT = 'rapport_scoring_drift_low_ratio{rapport_scoring_kind="churn",rapport_scoring_column="revenue_90d"}'
UNREADABLE = 'rapport_ticketing_inbound_mail_failed_total{rapport_mail_reason="ARCHIVE_BOMB"}'
Series = dict[str, str]


def steady(metric: str, value: float) -> Series:
    """A gauge that stands so for a day."""
    return {metric: f"{value}+0x1440"}


def rates(first: tuple[str, float], second: tuple[str, float]) -> Series:
    """Two counters that grow by so much a minute for a day."""
    return {name: f"0+{step}x1440" for name, step in (first, second)}


def born(metric: str) -> tuple[Series, Series]:
    """A counter that comes up with its first value after ten hours; one that stands still, above nothing, for a day."""
    return {metric: "_x600 1+0x840"}, steady(metric, 7)


# Alert -> when it fires, and when it does not though it nearly would; looked at after `AT`.
AT = "10h6m"
CASES: dict[str, tuple[Series, Series]] = {
    "RapportCallsFailFast": (
        rates((CALLS % "INTERNAL", 2), (CALLS % "OK", 98)),
        rates((CALLS % "NOT_FOUND", 2), (CALLS % "OK", 98)),
    ),
    "RapportCallsFailSlow": (
        rates((CALLS % "UNAVAILABLE", 1), (CALLS % "OK", 120)),
        rates((CALLS % "UNAVAILABLE", 1), (CALLS % "OK", 200)),
    ),
    "RapportRequestsFailFast": (
        rates((REQUESTS % "500", 2), (REQUESTS % "200", 98)),
        rates((REQUESTS % "429", 2), (REQUESTS % "200", 98)),
    ),
    "RapportRequestsFailSlow": (
        rates((REQUESTS % "503", 1), (REQUESTS % "200", 120)),
        rates((REQUESTS % "503", 1), (REQUESTS % "200", 200)),
    ),
    "RapportCallsSlow": (
        rates((SLOW % "1", 97), (SLOW % "2.5", 100)) | rates((SLOW % "+Inf", 100), (CALLS % "OK", 100)),
        rates((SLOW % "1", 100), (SLOW % "2.5", 100)) | rates((SLOW % "+Inf", 100), (CALLS % "OK", 100)),
    ),
    "RapportSilent": ({OUTBOX: "0+0x590"}, steady(OUTBOX, 0)),
    "RapportOutboxWaits": (steady(OUTBOX, 61), steady(OUTBOX, 59)),
    "RapportEventsDead": born(DEAD),
    "RapportEventsReturned": born('rapport_events_returned_total{job="rapport/sales",rapport_event_type="a"}'),
    "RapportEventsRetried": (
        {'rapport_events_retried_total{job="rapport/sales",rapport_event_type="a"}': "0+12x1440"},
        {'rapport_events_retried_total{job="rapport/sales",rapport_event_type="a"}': "0+5x1440"},
    ),
    "RapportTimersLate": (
        steady("rapport_timers_delay_seconds" + SALES, 121),
        steady("rapport_timers_delay_seconds" + SALES, 119),
    ),
    "RapportMailsFail": (
        rates((MAILS % "deferred", 3), (MAILS % "sent", 9)),
        rates((MAILS % "deferred", 1), (MAILS % "sent", 9)),
    ),
    "RapportErasureLate": (
        steady("rapport_consent_erasure_oldest_age_seconds", 864_001),
        steady("rapport_consent_erasure_oldest_age_seconds", 863_999),
    ),
    "RapportRecordsUnsealed": (
        steady("rapport_consent_unsealed_age_seconds", 301),
        steady("rapport_consent_unsealed_age_seconds", 299),
    ),
    "RapportInboundMailWaits": (
        steady("rapport_ticketing_inbound_mail_age_seconds", 901),
        steady("rapport_ticketing_inbound_mail_age_seconds", 899),
    ),
    "RapportInboundMailFails": born(UNREADABLE),
    "RapportQuarantineGrows": (
        rates((INGESTED % "quarantined", 6), (INGESTED % "accepted", 94)),
        rates((INGESTED % "quarantined", 4), (INGESTED % "accepted", 96)),
    ),
    "RapportPurchasesWait": (
        steady("rapport_scoring_staged_age_seconds", 601),
        steady("rapport_scoring_staged_age_seconds", 599),
    ),
    "RapportScoresLag": (
        steady("rapport_scoring_rescore_age_seconds", 61),
        steady("rapport_scoring_rescore_age_seconds", 59),
    ),
    "RapportLeadsWait": (steady("rapport_scoring_leads_waiting", 101), steady("rapport_scoring_leads_waiting", 99)),
    "RapportJobsFail": ({FAILED_JOBS: "_x600 1+0x840"}, {FAILED_JOBS.replace("failed", "succeeded"): "0+1x1440"}),
    "RapportModelOld": (
        steady("rapport_scoring_model_age_seconds", 61 * 86_400),
        steady("rapport_scoring_model_age_seconds", 59 * 86_400),
    ),
    "RapportScoresDrift": (steady(DRIFT, 0.2), steady(DRIFT, 0.19)),
    "RapportSegmentsDiffer": ({"rapport_scoring_segment_differences_total": "0+0x600 2+0x840"}, {}),
}


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [provision.ensure_promtool(), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[Manifest]:
    """All of them, recording rules too."""
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, Manifest]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def queries() -> list[tuple[str, str]]:
    """(dashboard and panel, expression with Grafana's variables filled in)."""
    return [
        (f"{file.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "5m").replace("$job", "a"))
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel["targets"]
    ]


def in_prometheus(metric: Metric) -> set[str]:
    """The names a metric has behind an OTLP receiver (OpenTelemetry: Prometheus compatibility)."""
    name = re.sub(r"[^a-zA-Z0-9]", "_", metric.name)
    name += {"s": "_seconds", "1": "_ratio"}.get(metric.unit, "")
    if metric.kind == "histogram":
        return {name + part for part in ("_bucket", "_count", "_sum")}
    return {name + "_total"} if metric.kind == "counter" else {name}


def labels_in_prometheus() -> set[str]:
    labels = {label.replace(".", "_") for metric in metric_names.all_metrics() for label in metric.labels}
    return labels | {"job", "le"}


def test_only_metrics_and_labels_of_the_registry_are_asked_for() -> None:
    metrics = set().union(*map(in_prometheus, metric_names.all_metrics()))
    known = metrics | labels_in_prometheus() | {"rapport_"}
    expressions = [("rules", rule["expr"]) for rule in rules()] + queries()
    for place, expression in expressions:
        asked = set(NAME.findall(re.sub(r'"[^"]*"|rapport:\w+', "", expression)))
        assert asked <= known, f"{place}: {asked - known}"
        by = {label.strip() for some in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in some.split(",")}
        assert by <= labels_in_prometheus(), f"{place}: {by}"


def test_every_metric_is_on_a_dashboard() -> None:
    asked = " ".join(expression for _, expression in queries())
    missing = [
        metric.name for metric in metric_names.all_metrics() if not any(n in asked for n in in_prometheus(metric))
    ]
    assert missing == []


def test_promtool_understands_rules_and_panels(tmp_path: Path) -> None:
    panels = [{"record": f"panel{number}", "expr": expr} for number, (_, expr) in enumerate(queries())]
    written = tmp_path / "panels.yaml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    promtool("check", "rules", *RULES, written)


def together(cases: dict[str, Series]) -> list[dict[str, Series]]:
    """Cases that share no series are played in one go: each go evaluates all rules over ten hours."""
    goes: list[dict[str, Series]] = []
    for alert, series in cases.items():
        own = {name.replace("rapport/sales", f"rapport/{alert}"): values for name, values in series.items()}
        free = (some for some in goes if not any(own.keys() & other.keys() for other in some.values()))
        go = next(free, None)
        if go is None:
            goes.append(go := {})
        go[alert] = own
    return goes


@pytest.mark.parametrize(("which", "firing"), [(0, 1), (1, 0)], ids=["fires", "stays silent short of it"])
def test_each_alert(which: int, firing: int, tmp_path: Path) -> None:
    assert CASES.keys() == alerts().keys()
    tests = []
    for go in together({alert: both[which] for alert, both in CASES.items()}):
        wanted = [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing", job=~"rapport/({alert}|gateway)|"}})'
                " or vector(0)",
                "eval_time": AT,
                "exp_samples": [{"labels": "{}", "value": firing}],
            }
            for alert in go
        ]
        given = [{"series": name, "values": values} for series in go.values() for name, values in series.items()]
        tests.append({"interval": "1m", "input_series": given, "promql_expr_test": wanted})
    written = tmp_path / "tests.yaml"
    written.write_text(
        yaml.safe_dump({"rule_files": list(map(str, RULES)), "evaluation_interval": "5m", "tests": tests})
    )
    promtool("test", "rules", written)


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_an_alert_leads_to_what_to_do(alert: str) -> None:
    rule = alerts()[alert]
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (state.workspace() / path).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_chart_carries_them(production: list[Manifest]) -> None:
    found = [item["spec"]["groups"] for item in production if item["kind"] == "PrometheusRule"]
    carried = {
        rule["alert"]: rule for groups in found for group in groups for rule in group["rules"] if "alert" in rule
    }
    assert carried.keys() == alerts().keys()
    url = carried["RapportOutboxWaits"]["annotations"]["runbook_url"]
    assert url == "https://git.example.com/rapport/blob/main/charts/RUNBOOK.md#events-wait-to-be-published"
    boards = [
        json.loads(text)
        for item in production
        if item["kind"] == "ConfigMap" and item["metadata"]["labels"].get("grafana_dashboard") == "1"
        for text in item["data"].values()
    ]
    assert sorted(board["uid"] for board in boards) == sorted(f"rapport-{file.stem}" for file in DASHBOARDS)


def test_neither_is_there_unless_asked_for(local: list[Manifest]) -> None:
    assert not [item for item in local if item["kind"] == "PrometheusRule" or "dashboard" in item["metadata"]["name"]]
