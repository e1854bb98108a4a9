"""ScoringService over gRPC: messages to use cases and back, nothing else."""

# ruff: noqa: D102, N802 - names and meanings of the methods are the contract's.

from itertools import repeat

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from rapport.scoring.v1 import (
    customer_features_pb2,
    customer_offers_pb2,
    customer_scores_pb2,
    customer_send_time_pb2,
    fraud_alert_pb2,
    job_schedule_pb2,
    journey_effect_pb2,
    lead_score_pb2,
    model_pb2,
    offer_rule_pb2,
    response_propensity_pb2,
    scoring_job_pb2,
    scoring_service_pb2_grpc,
    segment_pb2,
)
from rapport.scoring.v1 import scoring_service_pb2 as pb

from chassis import inputs as fields
from chassis.errors import NotFound
from docstore import filters, paging
from docstore.filters import FilterField
from scoring import (
    feature_messages,
    fraud_messages,
    job_messages,
    journey_messages,
    messages,
    model_messages,
    offer_messages,
    offer_rule_messages,
    schedule_messages,
    send_time_messages,
)
from scoring.domain.journey_outcomes import WINDOW_DEFAULT, WINDOWS
from scoring.store import (
    FraudAlert,
    ItemAssociation,
    JobSchedule,
    JourneyEffect,
    Lead,
    Model,
    OfferRule,
    Profile,
    Score,
    ScoringJob,
    Segment,
)
from scoring.store.fraud import learned
from scoring.store.job_schedules import next_scorings
from scoring.store.leads import SCORED
from scoring.store.offer_rules import OFFER_RULES_PAGE_MOST
from scoring.store.scores import scores_by_any_name, scores_of, totals, with_segments
from scoring.usecases import (
    cards,
    customer_features,
    customer_offers,
    customer_send_times,
    exploring,
    exporting,
    fraud_alerts,
    job_schedules,
    jobs,
    journey_cards,
    lead_what_if,
    offer_rules,
    promoting,
    propensity_what_if,
    segments,
    summaries,
    what_if,
)

Context = grpc.ServicerContext
_MODEL_FIELDS = {
    "kind": FilterField(
        "enum", values=model_pb2.Model.Kind.keys()[1:], convert=lambda kind: kind.removeprefix("KIND_")
    ),
    "state": FilterField(
        "enum", values=model_pb2.Model.State.keys()[1:], convert=lambda state: state.removeprefix("STATE_")
    ),
}


class ScoringServicer(scoring_service_pb2_grpc.ScoringServiceServicer):
    """Requests arrive checked by the interceptors (required fields, shapes of names, permissions)."""

    # Jobs

    def CreateScoringJob(self, request: pb.CreateScoringJobRequest, _: Context) -> scoring_job_pb2.ScoringJob:
        return job_messages.scoring_job(jobs.create(*job_messages.terms(request.scoring_job)))

    def GetScoringJob(self, request: pb.GetScoringJobRequest, _: Context) -> scoring_job_pb2.ScoringJob:
        return job_messages.scoring_job(ScoringJob.get(fields.uid(request.name)))

    def ListScoringJobs(self, request: pb.ListScoringJobsRequest, _: Context) -> pb.ListScoringJobsResponse:
        found, token = paging.page(ScoringJob, filter={}, order=[("create_time", -1)], request=request, bind={})
        return pb.ListScoringJobsResponse(scoring_jobs=map(job_messages.scoring_job, found), next_page_token=token)

    def CancelScoringJob(self, request: pb.CancelScoringJobRequest, _: Context) -> scoring_job_pb2.ScoringJob:
        return job_messages.scoring_job(jobs.cancel(fields.uid(request.name)))

    def CreateJobSchedule(self, request: pb.CreateJobScheduleRequest, _: Context) -> job_schedule_pb2.JobSchedule:
        uid = fields.slug(request.job_schedule_id, "job_schedule_id", 40)
        return schedule_messages.job_schedule(job_schedules.create(uid, request.job_schedule))

    def GetJobSchedule(self, request: pb.GetJobScheduleRequest, _: Context) -> job_schedule_pb2.JobSchedule:
        return schedule_messages.job_schedule(JobSchedule.get(fields.uid(request.name)))

    def ListJobSchedules(self, request: pb.ListJobSchedulesRequest, _: Context) -> pb.ListJobSchedulesResponse:
        found, token = paging.page(JobSchedule, filter={}, order=[("create_time", 1)], request=request, bind={})
        return pb.ListJobSchedulesResponse(job_schedules=schedule_messages.job_schedules(found), next_page_token=token)

    def UpdateJobSchedule(self, request: pb.UpdateJobScheduleRequest, _: Context) -> job_schedule_pb2.JobSchedule:
        return schedule_messages.job_schedule(job_schedules.update(request.job_schedule, request.update_mask))

    def DeleteJobSchedule(self, request: pb.DeleteJobScheduleRequest, _: Context) -> Empty:
        return job_schedules.delete(fields.uid(request.name), request.etag)

    # Scores

    def GetCustomerScores(self, request: pb.GetCustomerScoresRequest, _: Context) -> customer_scores_pb2.CustomerScores:
        row = scores_by_any_name(request.name.rpartition("/")[0])
        if row is None:
            raise NotFound(
                "NOT_FOUND",
                f"{request.name} does not exist: the customer has not been scored, or objects to it.",
                metadata={"resource": request.name},
            )
        return messages.customer_scores(row, next_scorings.get())

    def ListCustomerScores(self, request: pb.ListCustomerScoresRequest, _: Context) -> pb.ListCustomerScoresResponse:
        found, token = paging.page(Score.rows(), filter={}, order=[], request=request, bind={})
        return pb.ListCustomerScoresResponse(
            customer_scores=map(messages.customer_scores, with_segments(found), repeat(next_scorings.get())),
            next_page_token=token,
        )

    def GetLeadScore(self, request: pb.GetLeadScoreRequest, _: Context) -> lead_score_pb2.LeadScore:
        lead = request.name.removesuffix("/score")
        found = Lead.rows().find_one({"uid": fields.uid(lead), **SCORED})
        if found is None:
            raise NotFound(
                "LEAD_NOT_SCORED",
                f"{request.name} does not exist: no model of lead conversion is champion, the lead was closed before "
                "it was scored, or its customer objects to it. The points of the lead stand.",
                metadata={"resource": request.name},
            )
        return messages.lead_score(found, next_scorings.get())

    def ListLeadScores(self, request: pb.ListLeadScoresRequest, _: Context) -> pb.ListLeadScoresResponse:
        order = [("score.probability", -1)]
        found, token = paging.page(Lead.rows(), filter=SCORED, order=order, request=request, bind={})
        told = map(messages.lead_score, found, repeat(next_scorings.get()))
        return pb.ListLeadScoresResponse(lead_scores=told, next_page_token=token)

    def EvaluateLeadScore(self, request: pb.EvaluateLeadScoreRequest, _: Context) -> lead_score_pb2.LeadScore:
        return lead_what_if.evaluate(request)

    def GetJourneyEffect(self, request: pb.GetJourneyEffectRequest, _: Context) -> journey_effect_pb2.JourneyEffect:
        days = request.window_days or WINDOW_DEFAULT
        if days not in WINDOWS:
            raise fields.refusal("INVALID_WINDOW", "window_days", f"is none of {', '.join(map(str, WINDOWS))}.")
        return journey_messages.journey_effect(JourneyEffect.of(request.name.split("/")[1]), days)

    def GetJourneyEffectCard(self, request: pb.GetJourneyEffectCardRequest, _: Context) -> HttpBody:
        return journey_cards.card(request.name.split("/")[1], request.format)

    def GetCustomerOffers(self, request: pb.GetCustomerOffersRequest, _: Context) -> customer_offers_pb2.CustomerOffers:
        return offer_messages.customer_offers(*customer_offers.chosen(request), next_scorings.get())

    def CreateOfferRule(self, request: pb.CreateOfferRuleRequest, _: Context) -> offer_rule_pb2.OfferRule:
        uid = fields.slug(request.offer_rule_id, "offer_rule_id", 40)
        return offer_rule_messages.offer_rule(offer_rules.create(uid, request.offer_rule))

    def GetOfferRule(self, request: pb.GetOfferRuleRequest, _: Context) -> offer_rule_pb2.OfferRule:
        return offer_rule_messages.offer_rule(OfferRule.get(fields.uid(request.name)))

    def ListOfferRules(self, request: pb.ListOfferRulesRequest, _: Context) -> pb.ListOfferRulesResponse:
        order, most = [("create_time", 1)], OFFER_RULES_PAGE_MOST
        found, token = paging.page(OfferRule, filter={}, order=order, request=request, bind={}, max_page_size=most)
        return pb.ListOfferRulesResponse(offer_rules=map(offer_rule_messages.offer_rule, found), next_page_token=token)

    def UpdateOfferRule(self, request: pb.UpdateOfferRuleRequest, _: Context) -> offer_rule_pb2.OfferRule:
        return offer_rule_messages.offer_rule(offer_rules.update(request.offer_rule, request.update_mask))

    def DeleteOfferRule(self, request: pb.DeleteOfferRuleRequest, _: Context) -> Empty:
        return offer_rules.delete(fields.uid(request.name), request.etag)

    def GetCustomerSendTime(
        self, request: pb.GetCustomerSendTimeRequest, _: Context
    ) -> customer_send_time_pb2.CustomerSendTime:
        return send_time_messages.customer_send_time(customer_send_times.found(request.name), next_scorings.get())

    def GetCustomerFeatures(
        self, request: pb.GetCustomerFeaturesRequest, _: Context
    ) -> customer_features_pb2.CustomerFeatures:
        return feature_messages.customer_features(customer_features.found(request.name))

    def ListItemAssociations(
        self, request: pb.ListItemAssociationsRequest, _: Context
    ) -> pb.ListItemAssociationsResponse:
        product = request.antecedent_product_id
        found, token = paging.page(
            ItemAssociation.rows(),
            filter={"antecedents": product} if product else {},
            order=[("rank", 1)],
            request=request,
            bind={"antecedent_product_id": product},
        )
        return pb.ListItemAssociationsResponse(
            item_associations=map(offer_messages.item_association, found), next_page_token=token
        )

    def ExportCustomerScores(self, request: pb.ExportCustomerScoresRequest, _: Context) -> HttpBody:
        return exporting.customer_scores(request.after, request.max_rows)

    def ExportLeadScores(self, request: pb.ExportLeadScoresRequest, _: Context) -> HttpBody:
        return exporting.lead_scores(request.after, request.max_rows)

    def ExportCustomerOffers(self, request: pb.ExportCustomerOffersRequest, _: Context) -> HttpBody:
        return exporting.customer_offers(request.after, request.max_rows)

    def EvaluateScores(self, request: pb.EvaluateScoresRequest, _: Context) -> customer_scores_pb2.CustomerScores:
        return what_if.evaluate(request)

    def EvaluateChurnRisk(self, request: pb.EvaluateChurnRiskRequest, _: Context) -> customer_scores_pb2.ChurnRisk:
        return propensity_what_if.churn_risk(request)

    def EvaluateResponsePropensity(
        self, request: pb.EvaluateResponsePropensityRequest, _: Context
    ) -> response_propensity_pb2.ResponsePropensity:
        return propensity_what_if.response_propensity(request)

    def SummarizeScores(self, _request: pb.SummarizeScoresRequest, _: Context) -> pb.ScoresSummary:
        return messages.scores_summary(totals())

    def SummarizePurchases(self, _request: pb.SummarizePurchasesRequest, _: Context) -> pb.PurchasesSummary:
        return messages.purchases_summary(summaries.known_purchases())

    # Models

    def GetModel(self, request: pb.GetModelRequest, _: Context) -> model_pb2.Model:
        return model_messages.model(Model.get(fields.uid(request.name)))

    def ListModels(self, request: pb.ListModelsRequest, _: Context) -> pb.ListModelsResponse:
        wanted = filters.parse(request.filter, _MODEL_FIELDS)
        bind = {"filter": request.filter}
        found, token = paging.page(Model, filter=wanted, order=[("number", -1)], request=request, bind=bind)
        return pb.ListModelsResponse(models=map(model_messages.model, found), next_page_token=token)

    def PromoteModel(self, request: pb.PromoteModelRequest, _: Context) -> model_pb2.Model:
        return model_messages.model(promoting.promote(fields.uid(request.name), request.etag, request.reason))

    def RollBackModel(self, request: pb.RollBackModelRequest, _: Context) -> model_pb2.Model:
        return model_messages.model(promoting.roll_back(fields.uid(request.name), request.etag, request.reason))

    def GetModelCard(self, request: pb.GetModelCardRequest, _: Context) -> HttpBody:
        return cards.card(fields.uid(request.name), request.format)

    # Fraud

    def GetFraudAlert(self, request: pb.GetFraudAlertRequest, _: Context) -> fraud_alert_pb2.FraudAlert:
        return fraud_messages.fraud_alert(FraudAlert.get(fields.uid(request.name)))

    def ListFraudAlerts(self, request: pb.ListFraudAlertsRequest, _: Context) -> pb.ListFraudAlertsResponse:
        found, token = fraud_alerts.listed(request)
        return pb.ListFraudAlertsResponse(fraud_alerts=map(fraud_messages.fraud_alert, found), next_page_token=token)

    def ResolveFraudAlert(self, request: pb.ResolveFraudAlertRequest, _: Context) -> fraud_alert_pb2.FraudAlert:
        return fraud_messages.fraud_alert(fraud_alerts.resolve(fields.uid(request.name), request.etag, request.outcome))

    def GetFraudModel(self, _request: pb.GetFraudModelRequest, _: Context) -> fraud_alert_pb2.FraudModel:
        return fraud_messages.fraud_model(learned())

    # Segments

    def CreateSegment(self, request: pb.CreateSegmentRequest, _: Context) -> segment_pb2.Segment:
        return messages.segment(segments.create(fields.slug(request.segment_id, "segment_id", 40), request.segment))

    def GetSegment(self, request: pb.GetSegmentRequest, _: Context) -> segment_pb2.Segment:
        return messages.segment(Segment.get(fields.uid(request.name)))

    def ListSegments(self, request: pb.ListSegmentsRequest, _: Context) -> pb.ListSegmentsResponse:
        found, token = paging.page(Segment, filter={}, order=[("create_time", 1)], request=request, bind={})
        return pb.ListSegmentsResponse(segments=map(messages.segment, found), next_page_token=token)

    def UpdateSegment(self, request: pb.UpdateSegmentRequest, _: Context) -> segment_pb2.Segment:
        return messages.segment(segments.update(request.segment, request.update_mask))

    def DeleteSegment(self, request: pb.DeleteSegmentRequest, _: Context) -> Empty:
        return segments.delete(fields.uid(request.name), request.etag)

    def PreviewSegment(self, request: pb.PreviewSegmentRequest, _: Context) -> pb.SegmentPreview:
        return exploring.preview(request.expression, request.sample_size)

    def CompareSegments(self, request: pb.CompareSegmentsRequest, _: Context) -> pb.SegmentComparison:
        return exploring.compare(list(request.segments))

    def ListSegmentChanges(self, request: pb.ListSegmentChangesRequest, _: Context) -> pb.ListSegmentChangesResponse:
        found, token = exploring.changes(request)
        return pb.ListSegmentChangesResponse(changes=map(messages.segment_change, found), next_page_token=token)

    def ListSegmentMembers(self, request: pb.ListSegmentMembersRequest, _: Context) -> pb.ListSegmentMembersResponse:
        segment = Segment.get(fields.uid(request.parent))
        found, token = paging.page(
            Profile.rows(),
            filter={"segments": segment.uid},
            order=[("value", -1)],
            request=request,
            bind={"parent": request.parent},
        )
        scores = scores_of(row["uid"] for row in found)
        planned = next_scorings.get()
        members = [messages.member(row["customer"], scores.get(row["uid"]), planned) for row in found]
        return pb.ListSegmentMembersResponse(members=members, next_page_token=token)
