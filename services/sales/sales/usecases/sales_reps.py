"""Sales reps. Every change that may make room has the leads that wait looked through."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import sales_rep_pb2

import docstore
from chassis import inputs as fields
from chassis.errors import FailedPrecondition, ResourceExhausted
from docstore import masks
from docstore.tenanted import whole_tenant
from sales import answers, inputs
from sales.store import SalesRep, leads
from sales.store.sales_reps import REPS_MAX

CAPACITY_MAX = 10_000


@docstore.command(None)
def create(uid: str, message: sales_rep_pb2.SalesRep) -> SalesRep:
    """Creates a sales rep. Raises AlreadyExists for a taken id, InvalidArgument, ResourceExhausted."""
    if SalesRep.rows().count({"purged": None, **whole_tenant()}, limit=REPS_MAX) == REPS_MAX:
        raise ResourceExhausted(
            "TOO_MANY_SALES_REPS", f"There are {REPS_MAX} sales reps; remove some who have no leads first."
        )
    rep = SalesRep.new(uid=uid)
    _assign(rep, message)
    leads.call_desk()
    return rep.insert()


@docstore.command(None)
def update(message: sales_rep_pb2.SalesRep, mask: FieldMask) -> SalesRep:
    """Changes what the mask names. Raises NotFound, Aborted, InvalidArgument."""
    rep = SalesRep.get(fields.uid(message.name))
    wanted = answers.sales_rep(rep)
    if masks.apply(mask, message, wanted):
        _assign(rep, wanted)
        leads.call_desk()
    return rep.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Removes a sales rep. Raises NotFound, Aborted, FailedPrecondition SALES_REP_HAS_LEADS."""
    rep = SalesRep.get(uid)
    if rep.load:
        raise FailedPrecondition(
            "SALES_REP_HAS_LEADS",
            f"{rep.name} has {rep.load} open leads; assign them to others first.",
            metadata={"resource": rep.name, "load": str(rep.load)},
        )
    rep.purge(etag or None)
    return Empty()


def _assign(rep: SalesRep, message: sales_rep_pb2.SalesRep) -> None:
    rep.principal = inputs.principal(message.principal, "sales_rep.principal")
    rep.display_name = fields.display_name(message.display_name, "sales_rep.display_name")
    rep.region_codes = inputs.regions(message.region_codes, "sales_rep.region_codes")
    rep.language_codes = inputs.languages(message.language_codes, "sales_rep.language_codes")
    rep.skills = inputs.skills(message.skills, "sales_rep.skills")
    rep.capacity = inputs.whole_number(message.capacity, "sales_rep.capacity", CAPACITY_MAX)
    rep.available = message.available
