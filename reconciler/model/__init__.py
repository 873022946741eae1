"""The nouns that every room speaks in: desired, recorded, observed, and the actions between them. Pure."""

from .action import Action, Cause, Guard, Impact, Origin, Outcome, Plan, Replica, Verb
from .desired import (
    EMPTY,
    Condition,
    DeleteBudget,
    Dependency,
    Desired,
    Healthcheck,
    Mount,
    Namespace,
    Place,
    Port,
    Problem,
    Ref,
    Service,
    Spec,
    Update,
)
from .observed import Container, EngineInfo, Network, Observed, Volume
from .recorded import (
    Activity,
    OpenIntent,
    Recorded,
    RecordedContainer,
    RecordedNamespace,
    RecordedService,
    RecordedVolume,
    Revision,
)

__all__ = [
    "EMPTY", "Action", "Activity", "Cause", "Condition", "Container", "DeleteBudget", "Dependency", "Desired",
    "EngineInfo", "Guard", "Healthcheck", "Impact", "Mount", "Namespace", "Network", "Observed", "OpenIntent",
    "Origin", "Outcome", "Place", "Plan", "Port", "Problem", "Recorded", "RecordedContainer", "RecordedNamespace",
    "RecordedService", "RecordedVolume", "Ref", "Replica", "Revision", "Service", "Spec", "Update", "Verb", "Volume",
]
