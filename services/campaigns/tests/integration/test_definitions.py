"""Templates, journeys, suppressions and the policy through the API."""

import uuid

import grpc
import pytest
from rapport.campaigns.v1 import journey_pb2

SERVICE = "campaigns"


def test_a_template_is_saved_listed_changed_and_previewed(client, refused) -> None:
    made = client.template()
    assert client.GetTemplate(name="templates/hello") == made
    assert client.template("other").name == "templates/other"
    listed = client.ListTemplates(page_size=1)
    assert [each.uid for each in listed.templates] == ["hello"]
    assert client.ListTemplates(page_token=listed.next_page_token).templates[0].uid == "other"
    changed = client.UpdateTemplate(
        template={"name": made.name, "display_name": "New", "etag": made.etag}, update_mask={"paths": ["display_name"]}
    )
    assert (changed.display_name, changed.contents) == ("New", made.contents)
    with refused("ETAG_MISMATCH"):
        client.UpdateTemplate(template={"name": made.name, "display_name": "X", "etag": made.etag})
    with refused("ALREADY_EXISTS"):
        client.template()


def test_a_preview_shows_values_fallbacks_and_the_readers_language(client, refused) -> None:
    client.template()
    shown = client.PreviewTemplate(name="templates/hello", values={"given_name": "<Bob>"})
    assert (shown.language_code, shown.subject) == ("en", "Hello <Bob>")
    assert "Dear &lt;Bob&gt;" in shown.html
    assert "https://shop.example/sale?x=1" in shown.text
    assert list(shown.fallbacks_used) == []
    german = client.PreviewTemplate(name="templates/hello", language_code="de-CH")
    assert (german.subject, list(german.fallbacks_used)) == ("Hallo du", ["given_name"])
    person = client.customer()
    client.know(person, given_name="Zoë", language_code="de")
    assert client.PreviewTemplate(name="templates/hello", customer=person).text == "Hallo Zoë."
    with refused("NOT_FOUND"):
        client.PreviewTemplate(name="templates/hello", customer=client.customer())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\n{{ given_name.__class__ }}", "Line 2", "attributes"),
        ("{% for i in range(1000000) %}x{% endfor %}", "Line 1", "no loops"),
        ("{% include 'x' %}", "Line 1", "included"),
        ("\n\n{{ nobody }}", "Line 3", "nobody is not declared"),
    ],
)
def test_a_template_that_cannot_be_trusted_is_refused_with_its_line(client, refused, text, line, words) -> None:
    contents = [{"language_code": "en", "subject": "Hi", "text": text}]
    with refused("TEMPLATE_INVALID", grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.template(contents=contents)
    problem = error.violations["template.contents[0].text"]
    assert line in problem
    assert words in problem


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"variables": [{"name": "given_name", "fallback": " "}]}, "template.variables[0].fallback"),
        ({"variables": [{"name": "Given Name", "fallback": "x"}]}, "template.variables[0].name"),
        ({"variables": [{"name": "a", "fallback": "x"}] * 2}, "template.variables[1].name"),
    ],
)
def test_a_variable_needs_a_name_of_its_own_and_a_fallback(client, refused, fields, place) -> None:
    with refused("TEMPLATE_INVALID") as error:
        client.template(contents=[{"language_code": "en", "subject": "s", "text": "t"}], **fields)
    assert place in error.violations


def test_a_journey_keeps_revisions_and_its_state(client, refused) -> None:
    client.template()
    draft = client.CreateJourney(
        journey={
            "display_name": "J",
            "trigger": {"segment": "segments/x"},
            "steps": [
                {"id": "wait", "wait": {"duration": {"seconds": 60}}},
                {"id": "if", "branch": {"condition": "score.p_alive < 0.5", "otherwise": "end"}},
                client.mail("mail"),
                {"id": "end", "end": {}},
            ],
        },
        journey_id="j1",
    )
    assert (draft.state, draft.revision) == (journey_pb2.Journey.STATE_DRAFT, 1)
    with refused("JOURNEY_NOT_ACTIVE"):
        client.PauseJourney(name=draft.name)
    request = str(uuid.uuid4())
    active = client.ActivateJourney(name=draft.name, request_id=request)
    assert active.state == journey_pb2.Journey.STATE_ACTIVE
    assert client.ActivateJourney(name=draft.name, request_id=request) == active
    changed = client.UpdateJourney(journey={"name": draft.name, "steps": [client.mail("m"), {"id": "end", "end": {}}]})
    assert (changed.revision, len(changed.steps)) == (2, 2)
    renamed = client.UpdateJourney(journey={"name": draft.name, "display_name": "K"})
    assert (renamed.revision, renamed.display_name) == (2, "K")
    assert client.PauseJourney(name=draft.name).state == journey_pb2.Journey.STATE_PAUSED
    assert [each.uid for each in client.ListJourneys().journeys] == ["j1"]


@pytest.mark.parametrize(
    ("steps", "place", "words"),
    [
        ([{"id": "m", "send": {"template": "templates/nope", "purpose": "purposes/p"}}, {"id": "e", "end": {}}],
         "journey.steps[0].send.template", "does not exist"),
        ([{"id": "w", "wait": {"duration": {"seconds": 5}}, "next": "w"}], "journey.steps[0]", "cycle"),
        ([{"id": "w", "wait": {"duration": {"seconds": 5}}}], "journey.steps[0].next", "no end"),
        ([{"id": "b", "branch": {"condition": "score.shoe_size > 1", "otherwise": "e"}}, {"id": "e", "end": {}}],
         "journey.steps[0].branch.condition", "shoe_size"),
        ([{"id": "x"}], "journey.steps[0]", "Say what it does"),
    ],
)  # fmt: skip
def test_a_journey_that_cannot_be_gone_through_is_refused(client, refused, steps, place, words) -> None:
    with refused("JOURNEY_INVALID", grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.journey("j1", *steps)
    assert words in error.violations[place]


@pytest.mark.parametrize("trigger", [{"segment": "x"}, {"event": "rapport.sales.v1.OpportunityWon"}, {}])
def test_a_trigger_names_a_segment_or_an_event(client, refused, trigger) -> None:
    with refused("JOURNEY_INVALID" if trigger else "INVALID_FIELDS"):
        client.CreateJourney(
            journey={"display_name": "J", "steps": [{"id": "e", "end": {}}]}
            | ({"trigger": trigger} if trigger else {}),
            journey_id="j1",
        )


def test_suppressions_hold_no_address(client, refused) -> None:
    made = client.CreateSuppression(suppression={"email": "Bob@Example.com", "reason": "REASON_COMPLAINT"})
    assert made.email == ""
    assert "bob" not in made.name.lower()
    with refused("ALREADY_EXISTS"):
        client.CreateSuppression(suppression={"email": "bob@example.com", "reason": "REASON_COMPLAINT"})
    assert list(client.ListSuppressions(email="BOB@example.com").suppressions) == [made]
    assert list(client.ListSuppressions(filter="reason = REASON_HARD_BOUNCE").suppressions) == []
    client.DeleteSuppression(name=made.name)
    assert list(client.ListSuppressions().suppressions) == []
    with refused("NOT_FOUND"):
        client.DeleteSuppression(name=made.name)
    assert client.CreateSuppression(suppression={"email": "bob@example.com", "reason": "REASON_UNSUBSCRIBE"})


def test_the_sending_policy_is_one_and_checked(client, refused) -> None:
    assert client.GetSendingPolicy().cap_messages == 0
    policy = {"cap_messages": 2, "cap_days": 7, "quiet_start": {"hours": 21}, "quiet_end": {"hours": 8, "minutes": 30}}
    changed = client.UpdateSendingPolicy(sending_policy=policy)
    assert client.GetSendingPolicy() == changed
    assert (changed.quiet_end.minutes, changed.cap_messages) == (30, 2)
    for wrong, reason in (
        ({"cap_messages": 101}, "INVALID_CAP"),
        ({"cap_days": 32}, "INVALID_CAP"),
        ({"quiet_start": {"hours": 25}}, "INVALID_TIME"),
        ({"default_time_zone": "Mars/Olympus"}, "INVALID_TIME_ZONE"),
    ):
        with refused(reason):
            client.UpdateSendingPolicy(sending_policy=wrong)


def test_nothing_is_done_without_permission(channels, client, refused) -> None:
    stranger = type(client)(channels, client.tenant, ("campaigns.messages.list",))
    with refused("PERMISSION_MISSING", grpc.StatusCode.PERMISSION_DENIED):
        stranger.template()
