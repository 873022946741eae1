"""`lb why`: what changed a service, field by field. Asks no engine."""

from __future__ import annotations

from pathlib import Path

import click

from .. import checkout
from ..checkout import Touch
from ..clock import now
from ..model import RecordedSource
from ..render import why as shown
from ..render.why import Story
from . import doors, names
from .names import namespace_option, require
from .options import debug_option, output_option, service_ref, state_dir, state_option
from .terminal import echo_json


@click.command(epilog="\b\nExamples:\n  lb why demo/redis\n  lb why web -n demo -o json")
@click.argument("service", metavar="NAMESPACE/SERVICE", shell_complete=names.services)
@namespace_option
@state_option
@output_option("text", "json")
@debug_option
def why(service: str, namespace: str | None, state: str | None, output: str) -> None:
    """Show why a service was replaced last.

    Each field that changed, with its old and new value as written, where it stands, the rule by which it asked for new
    containers, and the commit, where the source is a git checkout; and what else happened lately.
    """
    ref = service_ref(service, namespace)
    with doors.remembered(state_dir(state)) as store:
        recorded, entries = store.recorded(), store.activity(*ref)
        if not entries:
            require(recorded, *ref)
        known = recorded.services.get(ref)
        kept = store.removed(ref)
        revisions = store.revisions(ref) or (kept[1] if kept else [])
    source = known.source if known else kept[0].source if kept else ""
    story = Story(ref, entries, revisions)
    story = Story(ref, entries, revisions, _touches(story, recorded.sources.get(source)))
    if output == "json":
        echo_json(shown.why_json(story))
    else:
        click.echo(shown.why_text(story, now()))


def _touches(story: Story, source: RecordedSource | None) -> dict[str, Touch]:
    """Of the files that the last replacement came from, as the source's checkout tells them now."""
    if source is None or story.last is None:
        return {}
    commit = story.last.commit
    root = source.root if Path(source.root).exists() else source.named  # what was fetched was swept away since
    found = {file: checkout.last_touch(root, file, commit) for file in shown.files(story.last)}
    return {file: touch for file, touch in found.items() if touch}
