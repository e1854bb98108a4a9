"""SLA policies: written, changed, deleted; tickets keep the times they began with."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.ticketing.v1 import sla_policy_pb2

import docstore
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import masks
from ticketing import answers, inputs
from ticketing.store import Calendar, SlaPolicy
from ticketing.store.sla_policies import POLICIES_MAX
from ticketing.usecases import routing


@docstore.command(SlaPolicy)
def create(uid: str, message: sla_policy_pb2.SlaPolicy) -> SlaPolicy:
    """Creates a policy. Raises AlreadyExists for a taken id, InvalidArgument, NotFound for its calendar,
    FailedPrecondition TOO_MANY_SLA_POLICIES.
    """
    if SlaPolicy.rows().count({"delete_time": None}, limit=POLICIES_MAX) >= POLICIES_MAX:
        raise FailedPrecondition("TOO_MANY_SLA_POLICIES", f"There are {POLICIES_MAX} policies; delete one first.")
    policy = SlaPolicy.new(uid=uid)
    _assign(policy, message)
    created = policy.insert()
    routing.rules.forget()
    return created


@docstore.command(SlaPolicy)
def update(message: sla_policy_pb2.SlaPolicy, mask: FieldMask) -> SlaPolicy:
    """Changes what the mask names, under its etag if it has one. Raises NotFound, Aborted, InvalidArgument."""
    policy = SlaPolicy.get(fields.uid(message.name))
    wanted = answers.sla_policy(policy)
    masks.apply(mask, message, wanted)
    _assign(policy, wanted)
    saved = policy.save(message.etag or None)
    routing.rules.forget()
    return saved


def delete(uid: str, etag: str) -> Empty:
    """Deletes a policy for good. Raises NotFound, Aborted."""
    done = _delete(uid, etag)
    routing.rules.forget()
    return done


@docstore.command(None, replay=Empty.FromString)
def _delete(uid: str, etag: str) -> Empty:
    SlaPolicy.get(uid).purge(etag or None)
    return Empty()


def _assign(policy: SlaPolicy, message: sla_policy_pb2.SlaPolicy) -> None:
    policy.display_name = fields.display_name(message.display_name, "sla_policy.display_name")
    policy.calendar = Calendar.get(fields.uid(message.calendar)).uid
    policy.filter = inputs.filter(message.filter, "sla_policy.filter") or None
    policy.order = inputs.order(message.order, "sla_policy.order")
    policy.targets = inputs.targets(message.targets, "sla_policy.targets")
    policy.warning_percent = inputs.warning_percent(message.warning_percent, "sla_policy.warning_percent")
