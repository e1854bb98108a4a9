"""Documents of the scoring service and the queries on them."""

from docstore.aliases import CustomerAlias
from scoring.store.activity import StagedActivity
from scoring.store.evaluations import Evaluation
from scoring.store.features import FeatureManifest, StagedPurchase
from scoring.store.fraud import FraudAlert, LearnedFraudModel, PaymentFeatures, PaymentWindow
from scoring.store.histories import PurchaseHistory, PurchaseNews, ResponseScorer, RiskScorer, ScoreKeeper, Scorer
from scoring.store.job_schedules import JobSchedule
from scoring.store.jobs import ScoringJob
from scoring.store.journeys import JourneyEffect, JourneyEntrant
from scoring.store.leads import Lead, LeadScan
from scoring.store.models import Model
from scoring.store.objections import Objection
from scoring.store.offer_rules import OfferRule
from scoring.store.offers import CustomerOffers, ItemAssociation
from scoring.store.profiles import Profile, SegmentChange, SegmentKeeper, SegmentSignal
from scoring.store.scores import Score, ScoreChange
from scoring.store.segments import Segment
from scoring.store.send_times import CustomerSendTime

DOCUMENTS = (
    StagedPurchase,
    StagedActivity,
    FeatureManifest,
    ScoringJob,
    JobSchedule,
    Model,
    Objection,
    Score,
    ScoreChange,
    Segment,
    Profile,
    SegmentSignal,
    SegmentKeeper,
    SegmentChange,
    Lead,
    LeadScan,
    Evaluation,
    JourneyEntrant,
    JourneyEffect,
    PurchaseNews,
    PurchaseHistory,
    Scorer,
    RiskScorer,
    ResponseScorer,
    ScoreKeeper,
    CustomerOffers,
    ItemAssociation,
    OfferRule,
    CustomerSendTime,
    PaymentWindow,
    PaymentFeatures,
    LearnedFraudModel,
    FraudAlert,
    CustomerAlias,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "CustomerOffers",
    "CustomerSendTime",
    "Evaluation",
    "FeatureManifest",
    "FraudAlert",
    "ItemAssociation",
    "JobSchedule",
    "JourneyEffect",
    "JourneyEntrant",
    "Lead",
    "LeadScan",
    "LearnedFraudModel",
    "Model",
    "Objection",
    "OfferRule",
    "PaymentFeatures",
    "PaymentWindow",
    "Profile",
    "PurchaseHistory",
    "PurchaseNews",
    "ResponseScorer",
    "RiskScorer",
    "Score",
    "ScoreChange",
    "ScoreKeeper",
    "Scorer",
    "ScoringJob",
    "Segment",
    "SegmentChange",
    "SegmentKeeper",
    "SegmentSignal",
    "StagedActivity",
    "StagedPurchase",
]
