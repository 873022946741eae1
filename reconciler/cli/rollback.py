"""`lb rollback` and `lb undelete`: what is recorded goes back into the manifests. Asks no engine, applies nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .. import fingerprint, handover, remote, render, rewrite
from .. import source as sources
from ..errors import LbError, RefusedError, UsageError
from ..model import Recorded, RecordedService, Ref, Revision
from ..rewrite import Change
from ..source import Files
from ..store import Store
from . import doors, names
from .names import namespace_option, require
from .options import (
    Asked,
    Outside,
    debug_option,
    outside_options,
    scope,
    service_ref,
    state_dir,
    state_option,
    this_host,
)
from .terminal import say

source_option = click.option(
    "--source", default=".", type=click.Path(path_type=Path), metavar="PATH",
    help="The source that it is of; the current folder by default.",
)  # fmt: skip
to_option = click.option("--to", "number", type=click.IntRange(min=0), metavar="N", help="The revision to go back to.")
dry_option = click.option("--dry-run", is_flag=True, help="Only show what would change.")


@click.command(
    epilog="\b\nExamples:\n  lb rollback demo/redis\n  lb rollback demo/redis --to 0 --dry-run\n"
    "  lb rollback web -n demo --source examples/quickstart"
)
@click.argument("service", metavar="NAMESPACE/SERVICE", shell_complete=names.services)
@source_option
@namespace_option
@to_option
@dry_option
@outside_options
@state_option
@debug_option
def rollback(
    service: str, source: Path, namespace: str | None, number: int | None, dry_run: bool, outside: Outside,
    state: str | None,
) -> None:  # fmt: skip
    """Write an earlier revision back into the manifest.

    Without --to: the last one before the current one that was written otherwise; while a newer one failed or is not
    finished, the current one.
    Only the spec changes, to what was written then; comments and everything else in the file stay. Shows the
    difference, and leaves the commit and the apply to you.
    """
    ref, directory = service_ref(service, namespace), state_dir(state)
    with doors.remembered(directory) as store:
        recorded, revisions = store.recorded(), store.revisions(ref)
    if ref not in recorded.services:
        require(recorded, *ref, hint=f"`lb undelete {ref}` brings back a service that was removed")
    known = recorded.services[ref]
    target = _target(known, revisions, number)
    files = _files(source, outside, ref, known.source)
    now = rewrite.says(files, ref)
    change = rewrite.respecified(files, ref, target.said)
    if not change.changes:
        say(f"{change.file} says already what revision {target.number} said")
    else:
        if not any(dict(now) == dict(revision.said) for revision in revisions):
            say(f"{change.file} was edited since it was applied; that goes too")
        _show_and_write([change], dry_run, directory)
    if not dry_run:
        _say_what_differs(Asked(source, [], None, outside), ref, target)


@click.command(epilog="\b\nExamples:\n  lb undelete old/past\n  lb undelete past -n old --dry-run")
@click.argument("target", metavar="NAMESPACE[/SERVICE]")
@source_option
@namespace_option
@to_option
@dry_option
@outside_options
@state_option
@debug_option
def undelete(
    target: str, source: Path, namespace: str | None, number: int | None, dry_run: bool, outside: Outside,
    state: str | None,
) -> None:  # fmt: skip
    """Write the manifest of what was removed again.

    It is written at the end of the file in which it stood, with its description, labels, hosts and protection, and as
    its last good revision said. A service's namespace comes back with it where it is gone too. Shows the difference,
    and leaves the commit and the apply to you. The last 200 removed services are kept.
    """
    space, name = scope(target, namespace)
    ref, directory = Ref(space or "", name or ""), state_dir(state)
    if number is not None and not ref.name:
        raise UsageError("a namespace has no revisions", hint="leave --to out")
    with doors.remembered(directory) as store:
        recorded = store.recorded()
        gone = [_gone(store, recorded, ref, number)]
        if ref.name and (around := _kept(store, recorded, Ref(ref.namespace))):
            gone.insert(0, around)
    files = _files(source, outside, ref, gone[-1].source)
    if ref in files.stand:
        hint = f"`lb rollback {ref}` changes it" if ref.name else ""
        raise UsageError(f"{ref} is in the source, in {files.stand[ref][0][0]}", hint=hint)
    documents = [(found.file, found.document) for found in gone if found.ref not in files.stand]
    _show_and_write(rewrite.declared_again(files, documents), dry_run, directory)


# --- which


def _target(known: RecordedService, revisions: Sequence[Revision], number: int | None) -> Revision:
    if number is not None:
        return _numbered(known.ref, revisions, number)
    if known.current and (known.failed or known.pending):
        return known.current
    by_id, found = {revision.id: revision for revision in revisions}, known.current
    while found and known.current and dict(found.said) == dict(known.current.said):
        found = by_id.get(found.parent)  # a restart, or a variable's new value, is written as what it came after
    if found is None:
        hint = f"`lb history {known.ref}` lists all"
        raise LbError(f"{known.ref} has no earlier revision that is written otherwise", hint=hint)
    return found


def _numbered(ref: Ref, revisions: Sequence[Revision], number: int) -> Revision:
    found = next((revision for revision in revisions if revision.number == number), None)
    if found is None:
        there = ", ".join(str(revision.number) for revision in revisions)
        raise LbError(f"{ref} has no revision {number}", hint=f"there are {there}")
    return found


class _Gone:
    """The document of something that is to be declared again, and where it stood."""

    def __init__(self, ref: Ref, source: str, file: str, document: dict[str, Any]) -> None:
        self.ref, self.source, self.file, self.document = ref, source, file, document


def _gone(store: Store, recorded: Recorded, ref: Ref, number: int | None) -> _Gone:
    found = _kept(store, recorded, ref, number)
    if found is None:
        kind = ref.kind.upper()
        raise LbError(f"{kind}_NOT_FOUND: no {ref.kind} {ref} is kept", hint=f"`lb activity {ref}` shows what it was")
    return found


def _kept(store: Store, recorded: Recorded, ref: Ref, number: int | None = None) -> _Gone | None:
    """From what is recorded still, where its removal has not been applied; else from what was removed."""
    known = recorded.services.get(ref) if ref.name else recorded.namespaces.get(ref.namespace)
    if isinstance(known, RecordedService):
        document = render.manifest(known)
        if number is not None:
            document["spec"] = dict(_numbered(ref, store.revisions(ref), number).said)
        return _Gone(ref, known.source, known.place.file, document)
    if known:
        return _Gone(ref, known.source, known.place.file, render.namespace_manifest(known))
    kept = store.removed(ref)
    if kept is None:
        return None
    removed, revisions = kept
    good = [revision for revision in revisions if revision.status == "current"] or revisions[-1:]
    chosen = [_numbered(ref, revisions, number)] if number is not None else good
    spec = chosen[0].said if chosen else {}
    return _Gone(ref, removed.source, removed.file, render.removed_manifest(removed, spec))


def _files(path: Path, outside: Outside, ref: Ref, source: str) -> Files:
    """The source that the object belongs to. Raises UsageError when this is another."""
    files = sources.Source(path, outside.variables(path, this_host()), host=outside.host).files()
    if files.name != source:
        raise UsageError(
            f"{ref} belongs to source {source}, and {files.root} is source {files.name}",
            hint="name its folder with --source PATH",
        )
    if name := remote.around(files.root):
        raise RefusedError(
            f"{files.root} is what was fetched as {name}, and the next fetch would undo what is written there",
            hint="do it in a clone of its repository, named with --source PATH, then commit and push",
        )
    return files


# --- what is said


def _show_and_write(changes: Sequence[Change], dry_run: bool, state: Path) -> None:
    for change in changes:
        click.echo(change.diff(), nl=False)
    if dry_run:
        return
    for change in changes:
        rewrite.write(change)
    written = ", ".join(change.file for change in changes)
    if handover.listens(state):
        say(f"{written} was written; a daemon that watches this source applies it now; commit it")
    else:
        say(f"{written} was written; look at `lb plan`, then commit and apply it")


def _say_what_differs(asked: Asked, ref: Ref, target: Revision) -> None:
    """What the manifest does not hold: values of variables, of templates, of files and secrets."""
    try:
        desired = asked.read(with_secrets=False)
    except LbError as error:
        say(error.message)
        return
    for problem in desired.problems:
        if problem.ref in (ref, Ref(ref.namespace)):
            say(str(problem))
    service = desired.services.get(ref)
    changed = fingerprint.changed_fields(service, target.digests, target.id) if service else []
    fields = [path for path in changed if path.partition(".")[0] not in ("meta", "secrets")]
    if fields:
        was = f"revision {target.number} had other values behind what is written"
        say(f"{was}: {', '.join(fields)} (of variables, templates or files; they were not kept)")
