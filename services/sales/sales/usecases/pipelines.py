"""Pipelines."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import pipeline_pb2

import docstore
from chassis import inputs as fields
from chassis.errors import AlreadyExists, FailedPrecondition
from docstore import masks
from sales import answers, inputs
from sales.domain import stages as rules
from sales.store import Opportunity, Pipeline, opportunities

_USERS_TOLD = 10
"""Names of opportunities that a refusal tells."""


@docstore.command(Pipeline)
def create(uid: str, message: pipeline_pb2.Pipeline) -> Pipeline:
    """Creates a pipeline. Raises AlreadyExists for a taken id, InvalidArgument PIPELINE_INVALID."""
    pipeline = Pipeline.new(uid=uid)
    _assign(pipeline, message)
    return pipeline.insert()


@docstore.command(None)
def update(message: pipeline_pb2.Pipeline, mask: FieldMask) -> Pipeline:
    """Changes what the mask names. Raises NotFound, Aborted, InvalidArgument, FailedPrecondition STAGE_IN_USE."""
    pipeline = Pipeline.get(fields.uid(message.name))
    wanted = answers.pipeline(pipeline)
    masks.apply(mask, message, wanted)
    before = {stage.id for stage in pipeline.values()}
    _assign(pipeline, wanted)
    _require_unused(pipeline, before - {stage.id for stage in pipeline.values()})
    return pipeline.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Deletes a pipeline that has no open opportunities. Raises NotFound, Aborted, FailedPrecondition
    DEFAULT_PIPELINE, PIPELINE_IN_USE.

    It stays stored for 30 days, for an opportunity that came to it at the same moment.
    """
    pipeline = Pipeline.get(uid)
    if uid == opportunities.DEFAULT_PIPELINE:
        raise FailedPrecondition(
            "DEFAULT_PIPELINE",
            f"{pipeline.name} takes the opportunities that name no pipeline; change it instead.",
            metadata={"resource": pipeline.name},
        )
    users = [each.name for each in Opportunity.find({"pipeline": uid, "state": opportunities.OPEN}, limit=_USERS_TOLD)]
    if users:
        shown = ", ".join(users)
        raise FailedPrecondition(
            "PIPELINE_IN_USE",
            f"{pipeline.name} has open opportunities, such as {shown}; move them to another pipeline first.",
            metadata={"resource": pipeline.name, "users": shown},
            preconditions=[("PIPELINE_IN_USE", user, f"{user} is in another pipeline.") for user in users],
        )
    pipeline.soft_delete(etag or None)
    return Empty()


def ensure_default() -> None:
    """Makes the default pipeline if the tenant has none of that id."""
    if Pipeline.rows().find_one({"uid": opportunities.DEFAULT_PIPELINE}, {"_id": 1}):
        return
    try:
        _new_default().insert()
    except AlreadyExists:
        return  # Somebody else has made it meanwhile.


def known(name: str, field: str) -> Pipeline:
    """The pipeline of that name, the default one if empty; for commands in a transaction.

    Raises InvalidArgument PIPELINE_UNKNOWN.
    """
    uid = fields.uid(name) if name else opportunities.DEFAULT_PIPELINE
    found = Pipeline.get_many([uid])
    if uid in found:
        return found[uid]
    if uid == opportunities.DEFAULT_PIPELINE:
        return _new_default().insert()
    raise fields.refusal("PIPELINE_UNKNOWN", field, "There is no such pipeline.")


def stage_of(pipeline: Pipeline, stage: str, field: str) -> str:
    """The stage's id, the pipeline's first one if empty. Raises InvalidArgument STAGE_UNKNOWN."""
    ids = [each.id for each in pipeline.values()]
    if stage and stage not in ids:
        raise fields.refusal("STAGE_UNKNOWN", field, f"{pipeline.name} has the stages {', '.join(ids)}.")
    return stage or ids[0]


def _new_default() -> Pipeline:
    pipeline = Pipeline.new(uid=opportunities.DEFAULT_PIPELINE, display_name="Sales")
    pipeline.put(rules.DEFAULT)
    return pipeline


def _assign(pipeline: Pipeline, message: pipeline_pb2.Pipeline) -> None:
    pipeline.display_name = fields.display_name(message.display_name, "pipeline.display_name")
    wanted = inputs.stages(message.stages)
    if wanted != pipeline.values():
        pipeline.put(wanted)


def _require_unused(pipeline: Pipeline, stages: set[str]) -> None:
    for stage in sorted(stages):
        used = {"pipeline": pipeline.uid, "stage": stage, "state": opportunities.OPEN}
        if Opportunity.rows().find_one(used, {"_id": 1}):
            raise FailedPrecondition(
                "STAGE_IN_USE",
                f"The stage {stage} has open opportunities; move them to another one first.",
                metadata={"resource": pipeline.name, "stage": stage},
            )
