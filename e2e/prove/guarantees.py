"""The guarantees that are broken on purpose: what is promised, how it is broken, and the tests that must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Breakage:
    """One guarantee taken away.

    promise: what the platform guarantees. file: of the workspace, whose one `sound` text becomes `broken`. test: the
    pytest id that passes with the guarantee and must fail without it.
    """

    promise: str
    file: str
    sound: str
    broken: str
    test: str


BREAKAGES = (
    Breakage(
        "A write that read an old version changes nothing",
        "libs/docstore/docstore/guarded.py",
        '{"uid": self.uid, "version": self.version, **self.write_guard()}',
        '{"uid": self.uid, **self.write_guard()}',
        "libs/docstore/tests/test_aggregate.py::test_concurrent_change_is_a_conflict",
    ),
    Breakage(
        "A repeated request happens once",
        "libs/docstore/docstore/idempotency.py",
        "if request is None or not request.request_id:",
        "if True:",
        "libs/docstore/tests/test_commands.py::test_a_repeated_create_returns_the_first_one",
    ),
    Breakage(
        "A call cannot leave its tenant",
        "libs/docstore/docstore/tenanted.py",
        '        if narrowed["tenant"] != tenant:',
        "        if False:",
        "libs/docstore/tests/test_tenanted.py::test_leaving_the_tenant_is_refused",
    ),
    Breakage(
        "A page token works for its own list only",
        "libs/docstore/docstore/paging.py",
        "    bound = _bound(order, bind)",
        '    bound = b""',
        "libs/docstore/tests/test_paging.py::test_a_token_belongs_to_its_list",
    ),
    Breakage(
        "A call needs its permission",
        "libs/chassis/chassis/interceptors.py",
        "if not permissions.permits(claims.permissions, method.permission):",
        "if False:",
        "libs/chassis/tests/test_grpc_server.py::test_permission_is_checked_before_the_fields",
    ),
    Breakage(
        "A repeated event is handled once",
        "libs/eventing/eventing/guards.py",
        "    return [places[index] for index in noted.upserted_ids or {}] if noted else []",
        "    return places",
        "libs/eventing/tests/test_delivery.py::test_any_order_and_repeats_end_in_the_same_state",
    ),
    Breakage(
        "An older state never takes the place of a newer one",
        "libs/eventing/eventing/guards.py",
        "        if event.sequence > highest or (",
        "        if event.sequence != highest or (",
        "libs/eventing/tests/test_delivery.py::test_any_order_and_repeats_end_in_the_same_state",
    ),
    Breakage(
        "A late event does not bring an erased person back",
        "libs/eventing/eventing/delivery.py",
        "if erased and not _wanted_of_erased(subscription, envelope):",
        "if False:",
        "libs/eventing/tests/test_delivery.py::test_events_about_the_erased_are_dropped",
    ),
    Breakage(
        "Nor does one that comes among others",
        "libs/eventing/eventing/delivery.py",
        "living = [event for event in events if erased.isdisjoint(event.envelope.datasubjects)]",
        "living = events",
        "libs/eventing/tests/test_delivery.py::test_the_erased_are_left_out_of_what_is_handled_together",
    ),
    Breakage(
        "One that must be held holds up none of those it came with",
        "libs/eventing/eventing/delivery.py",
        "            _require_database(error)\n        except Exception as error:  # noqa",
        "            raise\n        except Exception as error:  # noqa",
        "libs/eventing/tests/test_settling.py::test_one_that_must_be_held_holds_up_none_of_those_it_came_with",
    ),
    Breakage(
        "A message is acknowledged after its handler's commit, not before",
        "libs/eventing/eventing/settle.py",
        "            outcomes = self._delivery.process(",
        "            for message in waiting:\n"
        "                message.channel.basic_ack(message.delivery_tag)\n"
        "            outcomes = self._delivery.process(",
        "libs/eventing/tests/test_outages.py::test_six_crashes_in_a_row_lose_nothing",
    ),
    Breakage(
        "An event leaves its document after the broker's confirm, not before",
        "libs/eventing/eventing/relay/__init__.py",
        "        settled = burst.confirmed | self._unwanted(envelopes, burst.returned)",
        "        settled = {envelope.id for envelope in envelopes}",
        "libs/eventing/tests/test_outages.py::test_relay_and_worker_survive_a_killed_broker",
    ),
    Breakage(
        "Who took consent back is refused",
        "services/consent/consent/domain/decisions.py",
        "        return Verdict(reason is Reason.CONSENT_GRANTED, reason, records)",
        "        return Verdict(reason is not Reason.NEVER_ASKED, reason, records)",
        "services/consent/tests/integration/test_decisions.py::test_reasons_follow_what_was_said",
    ),
    Breakage(
        "An altered consent record is found",
        "services/consent/consent/domain/chain.py",
        "        elif commitment(stored.salt, stored.content) != seal.commitment:",
        "        elif False:",
        "services/consent/tests/integration/test_chain.py::test_tampering_is_found_at_its_place",
    ),
    Breakage(
        "A message that nobody can handle becomes a dead letter",
        "libs/eventing/eventing/delivery.py",
        '            return self._refused(event, Outcome(Settle.DEAD, "UNKNOWN_TYPE"))',
        "            return self._refused(event, DONE)",
        "libs/eventing/tests/test_worker.py::test_poison_is_a_dead_letter_with_its_reason_and_harms_no_neighbour",
    ),
    Breakage(
        "An urgent event overtakes a backlog",
        "libs/eventing/eventing/subscribe.py",
        "handler.__name__, state_of, rule.urgent,",
        "handler.__name__, state_of, False,",
        "libs/eventing/tests/test_worker.py::test_an_urgent_event_overtakes_a_backlog",
    ),
    Breakage(
        "What was under way at an erasure is erased as well",
        "libs/eventing/eventing/erasing.py",
        "_SWEEPS = 2",
        "_SWEEPS = 1",
        "libs/eventing/tests/test_erasing.py::test_a_request_is_swept_twice_and_answered_once",
    ),
    Breakage(
        "An event logged after the sweep brings nobody back",
        "libs/eventing/eventing/relay/outbox.py",
        "    if not people:\n        return\n    erased:",
        "    if True:\n        return\n    erased:",
        "libs/eventing/tests/test_erasing.py::test_a_relay_that_logs_after_the_sweep_brings_nobody_back",
    ),
    Breakage(
        "Who lost a tenant's segments to another process moves nobody",
        "services/scoring/scoring/usecases/evaluating.py",
        "        leases.change(SegmentKeeper.rows(), leased, {",
        "        SegmentKeeper.rows().update_one({}, {",
        "services/scoring/tests/integration/segments/test_segments_live.py::"
        "test_only_one_keeps_the_segments_of_a_tenant_and_whoever_lost_them_changes_nothing",
    ),
    Breakage(
        "Time alone lets members out of a segment",
        "services/scoring/scoring/domain/event_rules.py",
        "            person.again_at(first[leaving - 1] + length)",
        "            pass",
        "services/scoring/tests/integration/segments/test_segments_live.py::test_a_window_that_runs_out_is_told_once",
    ),
    Breakage(
        "Segments do not make a circle, however they are changed at once",
        "services/scoring/scoring/usecases/segments.py",
        '    SegmentKeeper.rows().update_one({"uid": REFERENCES}, {"$inc": {"changes": 1}}, upsert=True)',
        "    return",
        "services/scoring/tests/integration/segments/test_segments_live.py::"
        "test_two_changes_at_once_cannot_make_a_circle",
    ),
    Breakage(
        "What a rule of offers blocks is offered to nobody",
        "services/scoring/scoring/domain/offer_rules.py",
        "        if rule.blocked:",
        "        if False:",
        "services/scoring/tests/unit/test_offer_rules.py::test_the_first_rule_is_named_and_rules_are_told_in_order",
    ),
    Breakage(
        "Who objects leaves the results that jobs keep, and brings no erased person back",
        "services/scoring/scoring/usecases/kept_results.py",
        "        if leased is None:\n            return 0\n",
        "",
        "services/scoring/tests/integration/test_kept_results.py::"
        "test_the_whole_profile_leaves_once_no_job_is_at_work_and_nobody_writes",
    ),
    Breakage(
        "Who is held out of a journey gets no message of it",
        "services/campaigns/campaigns/usecases/sending.py",
        "        if message.held_out:",
        "        if False:",
        "services/campaigns/tests/integration/test_holding_out.py::"
        "test_who_is_held_out_is_decided_on_like_all_others_and_gets_no_mail",
    ),
    Breakage(
        "Another share held out moves only those it must",
        "services/campaigns/campaigns/domain/holdout.py",
        '"\\n".join((tenant, journey, customer, salt))',
        '"\\n".join((tenant, journey, customer, salt, str(percent)))',
        "services/campaigns/tests/unit/test_holdout.py::test_another_percentage_moves_only_those_it_must",
    ),
    Breakage(
        "Who objects to profiling is in no comparison of a journey",
        "services/scoring/scoring/usecases/journey_effects.py",
        ' or profiles[row["customer"]][0] in refused]',
        "]",
        "services/scoring/tests/integration/test_journey_effects.py::"
        "test_objectors_and_the_erased_are_in_no_comparison",
    ),
    Breakage(
        "No model of whom a journey moves sees a score of after the entry",
        "services/scoring/scoring/usecases/journey_entrants.py",
        ' and score["score_time"] <= when',
        "",
        "services/scoring/tests/integration/test_journey_effects.py::test_scores_are_kept_as_they_stood_at_the_entry",
    ),
    Breakage(
        "What was known before does not take the place of scores that look from later",
        "services/scoring/scoring/usecases/older_results.py",
        "    if newest is None or newest <= as_of:",
        "    if True:",
        "services/scoring/tests/integration/test_older_results.py::"
        "test_a_job_that_looks_from_earlier_leaves_what_stands",
    ),
    Breakage(
        "Who loses the scores shows agents nothing of what is likely",
        "services/identity/identity/usecases/likely.py",
        "removed = (*event.removed_customers, *getattr(event, each.removed))",
        "removed = getattr(event, each.removed)",
        "services/identity/tests/integration/test_agent_view.py::"
        "test_what_else_is_likely_goes_alone_or_with_the_scores_and_comes_alone",
    ),
    Breakage(
        "What the erased said teaches no model of moods",
        "services/ticketing/ticketing/usecases/erasing.py",
        "    if any(ticket.mood_said for ticket in tickets):",
        "    if False:",
        "services/ticketing/tests/integration/test_learned_moods.py::test_whoever_is_erased_teaches_no_longer",
    ),
)
