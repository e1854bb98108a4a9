"""Reads what requests carry into the values of the use cases; refuses, by field, what cannot be used."""

from collections.abc import Iterable, Sequence

from rapport.consent.v1 import consent_pb2, erasure_request_pb2, purpose_pb2

from chassis.inputs import customer, language, refusal
from consent.domain import erasures
from consent.domain import evidence as rules
from consent.domain.evidence import Evidence

NOTICE_TEXT_MAX = 10_000
NOTICE_LANGUAGES_MAX = 50
CUSTOMERS_MAX = 500


def customers(names: Sequence[str]) -> list[str]:
    """The customers of a batch, 1 to 500, in order."""
    if not 1 <= len(names) <= CUSTOMERS_MAX:
        raise refusal("INVALID_BATCH_SIZE", "customers", f"Give 1 to {CUSTOMERS_MAX} names; split larger batches.")
    return [customer(name, f"customers[{index}]") for index, name in enumerate(names)]


def channels(numbers: Iterable[int]) -> list[str]:
    """The names of a purpose's channels, each once."""
    names = [purpose_pb2.Channel.Name(purpose_pb2.Channel.ValueType(number)) for number in numbers]
    if len(set(names)) < len(names) or "CHANNEL_UNSPECIFIED" in names:
        raise refusal("INVALID_CHANNELS", "purpose.channels", "Name each channel once, and none unspecified.")
    return names


def notice_texts(texts: Sequence[purpose_pb2.NoticeText], field: str) -> list[tuple[str, str]]:
    """The texts of a notice as (language, text), one for each language."""
    if len(texts) > NOTICE_LANGUAGES_MAX:
        raise refusal("INVALID_NOTICE", field, f"At most {NOTICE_LANGUAGES_MAX} languages.")
    found: dict[str, str] = {}
    for index, item in enumerate(texts):
        place = f"{field}[{index}]"
        code = language(item.language_code, f"{place}.language_code")
        if not item.text.strip() or len(item.text) > NOTICE_TEXT_MAX:
            raise refusal("INVALID_NOTICE", f"{place}.text", f"1 to {NOTICE_TEXT_MAX} characters.")
        if code in found:
            raise refusal("INVALID_NOTICE", f"{place}.language_code", "Another text has the same language.")
        found[code] = item.text
    return list(found.items())


def evidence(given: consent_pb2.Evidence) -> Evidence:
    """How a choice came in, with the network address masked."""
    try:
        return rules.checked(
            Evidence(
                method=consent_pb2.Evidence.Method.Name(given.method),
                origin=given.origin,
                ip_address=given.ip_address,
                user_agent=given.user_agent,
                language_code=language(given.language_code, "evidence.language_code") if given.language_code else "",
            )
        )
    except rules.BadEvidence as error:
        raise refusal("INVALID_EVIDENCE", f"evidence.{error.field}", error.problem) from None


def erasure_evidence(given: erasure_request_pb2.ErasureEvidence) -> erasures.Asked:
    """How it is known that a person asked to be erased; refuses what could hold personal data."""
    if not erasures.impersonal(given.origin):
        problem = "At most 200 letters, digits and . _ : / # -; it outlives the person's data, so nothing personal."
        raise refusal("INVALID_EVIDENCE", "erasure_request.evidence.origin", problem)
    return erasures.Asked(erasure_request_pb2.ErasureEvidence.Method.Name(given.method), given.origin)


def confirmation(ip_address: str, user_agent: str) -> Evidence:
    """The evidence of a confirmed link; what cannot be kept is left out, for the person is not at fault."""
    try:
        masked = rules.mask_address(ip_address)
    except rules.BadEvidence:
        masked = ""
    return Evidence(rules.METHOD_CONFIRMED_LINK, ip_address=masked, user_agent=user_agent[: rules.USER_AGENT_MAX])
