"""Plans, outcomes and tables, for people (text) and for programs (JSON-able values). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..model import Action, Outcome, Plan, Problem, RecordedNamespace, RecordedService, Removed, Revision
from ..reconcile import Cycle
from ..status import Status

VERBS = ("create", "update", "replace", "scale", "remove", "adopt", "heal", "take-back", "record", "held")
_SIGNS = {"create": "+", "update": "~", "replace": "±", "scale": "~", "remove": "-", "adopt": "<", "heal": "!",
          "take-back": "↩", "record": "·", "held": "x"}  # fmt: skip
Table = list[list[str]]


def plan_json(plan: Plan) -> dict[str, Any]:
    """The shape that schemas/plan.json describes."""
    return {
        "actions": [_action_json(action) for action in plan.actions],
        "problems": [problem_json(problem) for problem in plan.problems],
        "guards": [
            {"kind": g.kind, "message": g.message, "objects": [str(r) for r in g.refs], "confirm": g.confirm}
            for g in plan.guards
        ],
        "drift": [
            {"object": str(d.ref), "causes": [str(cause) for cause in d.causes], "why": d.why} for d in plan.drifted
        ],
        "advice": [{"object": str(a.ref), "message": a.text} for a in plan.advice],
        "summary": summary(plan),
        "host": plan.host,
    }


def summary(plan: Plan) -> dict[str, int]:
    counts = Counter(action.verb for action in plan.actions)
    return {
        "objects": plan.objects, "selected": plan.selected, **{verb: counts.get(verb, 0) for verb in VERBS},  # type: ignore[call-overload]
        "problems": len(plan.problems), "guards": len(plan.guards),
    }  # fmt: skip


def problem_json(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file, "line": place.line, "column": place.col, "path": problem.path,
        "message": problem.message, "code": problem.code, "object": str(problem.ref) if problem.ref else None,
    }  # fmt: skip


def plan_text(plan: Plan) -> str:
    """What would be done and why, a line an action and a line a cause."""
    lines = [f"host {plan.host}"] if plan.host else []
    if plan.selected != plan.objects:
        lines.append(f"{plan.selected} of {plan.objects} objects")
    for action in plan.actions:
        told = action.impact in ("none", "removal")  # "remove" says it already
        impact = "" if told else f" ({action.impact})"
        lines.append(f"{_SIGNS[action.verb]} {action.verb} {action.ref.kind} {action.ref}{impact}")
        for cause in action.causes:
            at = f"  [{cause.at.file}:{cause.at.line}]" if cause.at and cause.at.file else ""
            lines.append(f"    {cause}{at}")
    for drifted in plan.drifted:
        lines.append(f"? drift of {drifted.ref.kind} {drifted.ref} ({drifted.why})")
        lines += [f"    {cause}" for cause in drifted.causes]
    lines += [f"i {advice}" for advice in plan.advice]
    lines += [f"! {guard.message}" for guard in plan.guards]
    lines.append(summary_text(plan))
    return "\n".join(lines)


def summary_text(plan: Plan) -> str:
    counts = Counter(action.verb for action in plan.actions)
    parts = [f"{counts[verb]} to {verb}" for verb in VERBS[:-1] if counts[verb]]  # type: ignore[index]
    if counts["held"]:
        parts.append(f"{counts['held']} held")
    return ", ".join(parts) if parts else "no changes"


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "object": str(outcome.ref), "kind": outcome.ref.kind, "action": outcome.verb, "result": outcome.result,
        "message": outcome.message, "logs": list(outcome.logs), "seconds": round(outcome.seconds, 3),
    }  # fmt: skip


def outcomes_text(outcomes: Sequence[Outcome]) -> str:
    """What failed, with its last log lines; then the counts."""
    lines: list[str] = []
    for outcome in outcomes:
        if outcome.result == "done":
            continue
        what = outcome.result if outcome.result == outcome.verb else f"{outcome.result}: {outcome.verb}"
        lines.append(f"{what} {outcome.ref}: {outcome.message}")
        lines += [f"    | {line}" for line in outcome.logs]
    counts = Counter(outcome.result for outcome in outcomes)
    lines.append(", ".join(f"{count} {result}" for result, count in counts.items()))
    return "\n".join(lines)


def cycle_json(cycle: Cycle) -> dict[str, Any]:
    """The plan and what came of it."""
    return {**plan_json(cycle.plan), "outcomes": [outcome_json(outcome) for outcome in cycle.outcomes]}


def cycle_text(cycle: Cycle) -> str:
    if cycle.outcomes:
        return outcomes_text(cycle.outcomes)
    where = f" on host {cycle.plan.host}" if cycle.plan.host else ""
    return f"nothing was done{where}" if cycle.plan.actions else f"no changes{where}"


def held_back(plan: Plan) -> list[str]:
    """A line for each problem, for each guard, and for drift that is only told of."""
    drifted = [f"drift of {each.ref}: {each}" for each in plan.drifted]
    return [*map(str, plan.problems), *drifted, *(guard.message for guard in plan.guards)]


def namespaces_table(rows: Sequence[tuple[RecordedNamespace, Sequence[Status]]], wide: bool) -> Table:
    head = ["NAMESPACE", "SERVICES", "READY", "CREATED", *(["SOURCE", "DESCRIPTION"] if wide else [])]
    table = [head]
    for namespace, statuses in rows:
        ready = sum(1 for status in statuses if status.word in ("started", "stopped"))
        row = [namespace.ref.namespace, str(len(statuses)), f"{ready}/{len(statuses)}", namespace.created[:19] + "Z"]
        table.append(row + ([namespace.source, namespace.description] if wide else []))
    return table


def services_table(rows: Sequence[tuple[RecordedService, Status]], wide: bool) -> Table:
    head = ["NAMESPACE", "SERVICE", "STATE", "READY", "IMAGE", "REV", "PORTS", "STATUS"]
    table = [head + (["CONTAINERS", "SOURCE"] if wide else [])]
    for service, status in rows:
        revision = shown_revision(service)
        row = [
            service.ref.namespace, service.ref.name, status.word, f"{status.counters.ready}/{status.wanted}",
            revision.image if revision else "", str(revision.number) if revision else "", _ports(status), status.why,
        ]  # fmt: skip
        table.append(row + ([",".join(c.name for c in status.containers), service.source] if wide else []))
    return table


def manifest(service: RecordedService) -> dict[str, Any]:
    """The manifest as its author wrote it, for `get -o yaml`."""
    revision = shown_revision(service)
    spec = dict(revision.said) if revision else {}
    meta = {"name": service.ref.name, "namespace": service.ref.namespace, **_meta(service)}
    return {"apiVersion": "lb/v1", "kind": "Service", "meta": meta, "spec": spec}


def removed_manifest(removed: Removed, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of what is no longer recorded; a namespace's spec is kept with it."""
    kind = "Service" if removed.ref.name else "Namespace"
    name = {"name": removed.ref.name, "namespace": removed.ref.namespace} if removed.ref.name else {}
    meta = {**(name or {"name": removed.ref.namespace}), **removed.meta}
    said = dict(spec or removed.spec)
    return {"apiVersion": "lb/v1", "kind": kind, "meta": meta, **({"spec": said} if said else {})}


def namespace_manifest(namespace: RecordedNamespace) -> dict[str, Any]:
    meta = {"name": namespace.ref.namespace, **_meta(namespace)}
    found = {"apiVersion": "lb/v1", "kind": "Namespace", "meta": meta}
    return {**found, "spec": dict(namespace.written)} if namespace.written else found


def _meta(known: RecordedService | RecordedNamespace) -> dict[str, Any]:
    given = {
        "description": known.description, "labels": dict(known.labels), "hosts": list(known.hosts),
        "protect": known.protect,
    }  # fmt: skip
    return {key: value for key, value in given.items() if value}


def shown_revision(service: RecordedService) -> Revision | None:
    return service.shown


def _action_json(action: Action) -> dict[str, Any]:
    return {
        "action": action.verb,
        "kind": action.ref.kind,
        "namespace": action.ref.namespace,
        "name": action.ref.name or action.ref.namespace,
        "origin": action.origin,
        "causes": [
            {"field": c.field, "old": c.old, "new": c.new, "at": f"{c.at.file}:{c.at.line}" if c.at else ""}
            for c in action.causes
        ],
        "impact": action.impact,
    }


def _ports(status: Status) -> str:
    shown: dict[str, None] = {}
    for container in status.containers:
        for port in container.ports:
            if port.external:
                shown[f"{port.host_ip or '0.0.0.0'}:{port.external}->{port.internal}/{port.protocol}"] = None
    return ",".join(shown)
