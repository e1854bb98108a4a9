"""The tenant's sending policy."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.campaigns.v1 import sending_policy_pb2

import docstore
from campaigns import answers, inputs
from campaigns.store import SendingPolicy
from chassis import inputs as fields
from docstore import masks

CAP_MAX, DAYS_MAX = 100, 31


@docstore.command(SendingPolicy)
def update(message: sending_policy_pb2.SendingPolicy, mask: FieldMask) -> SendingPolicy:
    """Changes what the mask names, under the message's etag if it has one. Raises Aborted, InvalidArgument."""
    policy = SendingPolicy.current()
    wanted = answers.policy(policy)
    masks.apply(mask, message, wanted)
    if not 0 <= wanted.cap_messages <= CAP_MAX:
        raise fields.refusal("INVALID_CAP", "sending_policy.cap_messages", f"0 (no cap) to {CAP_MAX}.")
    if not 0 <= wanted.cap_days <= DAYS_MAX:
        raise fields.refusal("INVALID_CAP", "sending_policy.cap_days", f"1 to {DAYS_MAX}.")
    policy.cap_messages = wanted.cap_messages
    policy.cap_days = wanted.cap_days or SendingPolicy.cap_days.default
    policy.quiet_start = inputs.minutes(wanted.quiet_start, "sending_policy.quiet_start")
    policy.quiet_end = inputs.minutes(wanted.quiet_end, "sending_policy.quiet_end")
    policy.default_time_zone = fields.time_zone(wanted.default_time_zone, "sending_policy.default_time_zone")
    return policy.save(message.etag or None) if policy.version else policy.insert()
