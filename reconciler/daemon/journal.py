"""What the daemon says: one line and one activity entry a transition, and nothing while nothing changes.

Beside what happened it keeps what stands: `notes` are, by object, why something is held back until it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from ..model import Action, Outcome, Plan, Recorded, RecordedNamespace, RecordedService, Ref
from ..store import Store

Level = Literal["info", "warning", "error"]
Log = Callable[[Level, str, str], None]  # level, what it is about, what happened
EventKind = Literal["failed", "recovered", "drift"]
Tell = Callable[[EventKind, str, str], None]  # what it is about, what happened
SOURCE = Ref("")  # notes that belong to no object: the source as a whole


def _nobody(event: EventKind, subject: str, text: str) -> None:
    pass


class Journal:
    """`tell` is told what fails and what is over, and no more than that."""

    def __init__(self, log: Log, store: Store, tell: Tell = _nobody) -> None:
        self._log, self._store, self._tell = log, store, tell
        self._failed: set[Ref] = set()  # whose last action did not do what it should
        self._states: dict[str, str] = {}
        self._notes: Mapping[Ref, tuple[str, str]] = {}  # → reason and text
        self._fights: dict[Ref, str] = {}

    def state(self, what: str, level: Level, text: str, kind: str = "") -> None:
        """Something that lasts: said when it begins or becomes another `kind` (the text where none is given), and
        again when it is over (`clear`)."""
        if self._states.get(what) != (kind or text):
            self._states[what] = kind or text
            self._log(level, what, text)
            self._tell("failed", what, text)

    def say(self, what: str, text: str) -> None:
        self._log("info", what, text)

    def clear(self, *whats: str) -> None:
        for what in whats:
            if self._states.pop(what, None) is not None:
                self._log("info", what, "in order again")
                self._tell("recovered", what, "in order again")

    def outcome(self, action: Action, outcome: Outcome) -> None:
        """The activity of it was recorded by whoever carried it out."""
        causes = "; ".join(map(str, action.causes))
        if action.verdict and outcome.result == "held":
            self._log("warning", str(action.ref), f"{action.verb}: {causes} ({outcome.seconds:.1f} s)")
            self._lines(action, outcome)
            self._failed.add(action.ref)
            self._tell("failed", str(action.ref), f"{action.verb}: {causes}")
        elif outcome.result == "done" or (outcome.result == "held" and not action.idle):
            self._log("info", str(action.ref), f"{action.verb}: {causes} ({outcome.seconds:.1f} s)")
            if outcome.result == "done" and action.ref in self._failed:
                self._failed.discard(action.ref)
                self._tell("recovered", str(action.ref), f"{action.verb}: {causes}")
        elif outcome.result in ("failed", "blocked"):
            self._log("warning", str(action.ref), f"{action.verb} {outcome.result}: {outcome.message} ({causes})")
            self._lines(action, outcome)
            self._failed.add(action.ref)
            self._tell("failed", str(action.ref), f"{action.verb} {outcome.result}: {outcome.message} ({causes})")
        elif outcome.result in ("deferred", "refused-in-place"):
            self._log("info", str(action.ref), f"{action.verb} {outcome.result}: {outcome.message}")

    def _lines(self, action: Action, outcome: Outcome) -> None:
        for line in outcome.logs:
            self._log("warning", str(action.ref), f"| {line}")

    def fight(self, action: Action) -> None:
        self._fights[action.ref] = f"{'; '.join(map(str, action.causes))}, again and again: the repair waits"

    def plan(self, decided: Plan, recorded: Recorded) -> bool:
        """Says what is new among what is held back, and what is mended; records it as notes. Whether any changed."""
        # What can't be read says more than what waits for it, and that more than what is only told of.
        notes = _drifted(decided) | _guards(decided) | _problems(decided, recorded)
        notes |= {ref: ("DriftFight", text) for ref, text in self._fights.items()}
        self._fights = {}
        if notes == self._notes:
            return False
        before, self._notes = self._notes, notes
        self._store.set_notes(decided.source, {ref: text for ref, (_, text) in notes.items()})
        for ref, (reason, text) in sorted(notes.items()):
            if before.get(ref) != (reason, text):
                self._log("warning", str(ref) or "source", f"{reason}: {text}")
                self._store.add_activity(ref, "warning", reason, text)
                self._tell("drift" if reason == "Drift" else "failed", str(ref) or "source", f"{reason}: {text}")
        for ref in sorted(before.keys() - notes.keys()):
            self._log("info", str(ref) or "source", f"{before[ref][0]} is mended")
            self._store.add_activity(ref, "normal", "Mended", before[ref][1])
            self._tell("recovered", str(ref) or "source", f"{before[ref][0]} is mended: {before[ref][1]}")
        return True

    def close(self, source: str) -> None:
        """Nobody watches from now on: what stands may be mended without anybody noticing."""
        if self._notes:
            self._store.set_notes(source, {})


def _problems(decided: Plan, recorded: Recorded) -> dict[Ref, tuple[str, str]]:
    """A problem that says of no object whose it is belongs to all that its file declared when it could be read."""
    found: dict[Ref, list[str]] = {}
    for problem in decided.problems:
        known: list[RecordedService | RecordedNamespace] = [*recorded.services.values(), *recorded.namespaces.values()]
        mine = [o.ref for o in known if o.place.file == problem.place.file and o.source == decided.source]
        for ref in [problem.ref] if problem.ref else mine or [SOURCE]:
            found.setdefault(ref, []).append(str(problem))
    return {ref: ("Invalid", texts[0] + _more(len(texts) - 1)) for ref, texts in found.items()}


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _drifted(decided: Plan) -> dict[Ref, tuple[str, str]]:
    found: dict[Ref, list[str]] = {}
    for each in decided.drifted:
        found.setdefault(each.ref, []).append(str(each))
    return {ref: ("Drift", "; ".join(texts)) for ref, texts in found.items()}


def _guards(decided: Plan) -> dict[Ref, tuple[str, str]]:
    return {ref: ("Held", guard.message) for guard in decided.guards for ref in guard.refs}
