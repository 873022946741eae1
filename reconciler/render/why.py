"""Why the containers of a service are as they are: its last replacement, and what happened lately. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..checkout import Touch
from ..model import RESTART, Activity, Cause, Ref, Revision
from .tables import age, columns, plain

ENTRIES = 5
_MADE = {
    "replace": "was replaced",
    "create": "was made",
    "adopt": "was adopted",
    "take-back": "was taken back",
}  # actions that give it containers
_AFRESH = ("replace", "take-back")
_OF_FIELD = {
    "record": "is written down; the engine is not called",
    "scale": "adds or removes some; the others stay",
    "in-place": "is changed on the live containers, which run on",
    "replace": "can't be changed on a live container: new ones take over",
}
_OF_ACTION = {
    "create": "what is new is made",
    "adopt": "what a lost state had made is taken over as it is",
    "heal": "what runs is put back to what is recorded",
    "take-back": "what failed soon after it took over gives way to what ran before",
    "remove": "what the source no longer holds is removed; volumes stay",
}


@dataclass(frozen=True, slots=True)
class Story:
    """`entries` are the activity, newest first; `touches` are the commits that had changed the files of the last
    replacement last, by file."""

    ref: Ref
    entries: Sequence[Activity]
    revisions: Sequence[Revision]
    touches: Mapping[str, Touch] = field(default_factory=dict)

    @property
    def last(self) -> Activity | None:
        """Its last replacement; where there was none, what made its containers."""
        found = [entry for entry in self.entries if entry.reason in _MADE]
        return next((entry for entry in found if entry.reason in _AFRESH), found[0] if found else None)

    def number(self, entry: Activity) -> str:
        found = next((revision for revision in self.revisions if revision.id == entry.revision), None)
        return str(found.number) if found else ""


def files(entry: Activity) -> list[str]:
    """Those in which its causes stand."""
    return list(dict.fromkeys(cause.at.file for cause in entry.causes if cause.at and cause.at.file))


def rule(entry: Activity, cause: Cause) -> str:
    """Why the cause asked for this action."""
    if cause.rule:
        return f"{cause.field.partition(' (')[0]} {_OF_FIELD[cause.rule]}"
    if cause.field == RESTART:
        return "a person wanted new containers of what runs"
    return next((text for verb, text in _OF_ACTION.items() if entry.reason.startswith(verb)), "")


def why_text(story: Story, now: str) -> str:
    last = story.last
    lines = [f"{story.ref} was never made, as far as its activity is kept"]
    if last:
        head = f"{story.ref} {_MADE[last.reason]} {age(last.created, now)} ago{_of(story, last)}"
        lines = [head, *_causes(story, last)]
    rows = [
        [age(e.updated or e.created, now), e.reason, story.number(e) or "-", _short(e.commit), e.message]
        for e in story.entries[:ENTRIES]
    ]
    return "\n".join([*lines, "", columns([["AGE", "ACTION", "REVISION", "COMMIT", "WHY"], *rows])])


def why_json(story: Story) -> dict[str, Any]:
    return {
        "object": str(story.ref),
        "last": _json(story, story.last) if story.last else None,
        "actions": [_json(story, entry) for entry in story.entries[:ENTRIES]],
    }


def _of(story: Story, entry: Activity) -> str:
    number = story.number(entry)
    parts = ([f"revision {number}"] if number else []) + ([f"commit {entry.commit}"] if entry.commit else [])
    return f" ({', '.join(parts)})" if parts else ""


def _causes(story: Story, entry: Activity) -> list[str]:
    if not entry.causes:  # of a state that an older lb wrote
        return [f"  {plain(entry.message)}"]
    lines = []
    for cause in entry.causes:
        at = f"  [{cause.at.file}:{cause.at.line}]" if cause.at and cause.at.file else ""
        lines += [f"  {plain(str(cause))}{at}", f"      {cause.rule or entry.reason}: {rule(entry, cause)}"]
    for file, touch in story.touches.items():
        said = f"{touch.commit[:12]} {touch.at[:10]} {touch.author}: {touch.subject}"
        lines.append(f"  {file} was changed last by {plain(said)}")
    return lines


def _short(commit: str) -> str:
    head, dirty, _ = commit.partition("-dirty")
    return head[:12] + dirty or "-"


def _json(story: Story, entry: Activity) -> dict[str, Any]:
    number = story.number(entry)
    return {
        "created": entry.created, "updated": entry.updated or entry.created, "count": entry.count,
        "reason": entry.reason, "message": entry.message, "revision": int(number) if number else None,
        "commit": entry.commit,
        "causes": [
            {"field": c.field, "old": c.old, "new": c.new, "at": f"{c.at.file}:{c.at.line}" if c.at else "",
             "rule": c.rule, "why": rule(entry, c)}
            for c in entry.causes
        ],
        "files": [
            {"file": file, "commit": touch.commit, "author": touch.author, "date": touch.at, "subject": touch.subject}
            for file, touch in (story.touches.items() if entry is story.last else ())
        ],
    }  # fmt: skip
