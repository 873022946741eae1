"""Where manifests come from: a folder now. The whole source is always read; a path inside it only selects.

The root is the nearest folder with an lb.yaml, at the path or above it; without one, the path itself. Raises
SourceError where the source can't be read as a whole: nothing is deleted because of an empty or unmounted folder.

A `Source` is read again and again, with work in proportion to what changed: every folder is listed and every file's
stat signature taken, but only what changed is opened, parsed and validated. What comes out is equal to a first reading.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import manifests, remote, snapshots, walk
from .errors import SourceError
from .manifests import Trees
from .model import Desired, Problem, Ref, Revision, Service
from .model import Place as At
from .seen import Seen

SETTINGS = "lb.yaml"
MAX_FILES = 10_000
STDIN = "<stdin>"
_EMPTY = "the file is empty, perhaps half-written; write a document, or remove the file"


def name(path: Path) -> str:
    """The source's name, for `down`: what its lb.yaml says, else what it is fetched as, else its absolute path."""
    root, _ = _root(path)
    settings = _settings(root, Seen(), _NO_SETTINGS)
    if settings.problems:
        raise SourceError(f"{settings.problems[0]}; nothing is changed")
    return _called(settings.value, root)


def same(one: Path, other: Path) -> bool:
    """Whether both are of one source. What is not there is of none."""
    with contextlib.suppress(SourceError):
        return _root(one)[0] == _root(other)[0]
    return False


def hosts(path: Path) -> tuple[str, ...]:
    """The hosts that its lb.yaml lists; none where that has a problem."""
    root, _ = _root(path)
    settings = _settings(root, Seen(), _NO_SETTINGS)
    return () if settings.problems else tuple(settings.value.hosts)


def read(
    path: Path, *, variables: Mapping[str, str], files: Sequence[Path] = (), stdin: bytes | None = None, host: str = ""
) -> Desired:
    """Everything the source says to this host, read once. With `files` or `stdin` those join it, only their objects
    are acted on, and nothing is removed; with a path inside the source only the objects under it are acted on."""
    return Source(path, variables, host=host).read(files, stdin)


class Source:
    """A source that is read again and again. `variables` go before those of lb.yaml; `host` is this host's name.

    Pages are kept by the file's path, and hold for one content of lb.yaml. One that looked at files to be mounted is
    kept only while their digests stay the same.
    """

    def __init__(
        self,
        path: Path,
        variables: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        host: str = "",
    ) -> None:
        self.path, self.host = path, host
        self._variables = dict(variables or {})
        self._seen = Seen(clock)
        self._settings = _NO_SETTINGS
        self._pages: dict[str, _Kept] = {}

    def folder(self) -> Path:
        """The folder to watch: the path as it was given where it leads to the root, so that a link may lead elsewhere
        later; else the root, that of a path inside. Raises nothing: what is not there yet may come."""
        try:
            root, inside = _root(self.path)
        except SourceError:
            return self.path
        return root if inside or not self.path.is_dir() else self.path

    def vary(self, variables: Mapping[str, str]) -> None:
        """From now on these go before those of lb.yaml."""
        if variables != self._variables:
            self._variables, self._pages = dict(variables), {}

    def files(self) -> Files:
        """All of it as files, whatever is wrong with them. Raises SourceError as `read` does, but not for none."""
        root, _ = _root(self.path)
        with self._seen.cycle():
            settings = _settings(root, self._seen, _NO_SETTINGS)
            variables = {**manifests.host_variables(settings.value.hosts, self.host), **self._variables}
            found = _Reading(root, settings, variables, self._seen, {}).found()
        pages = {file: kept.page for file, kept in found.pages.items()}
        problems = (*found.problems, *(problem for page in pages.values() for problem in page.problems))
        stand = manifests.stand(pages, settings.value, self.host)
        return Files(_called(settings.value, root), root, stand, problems)

    def read(self, files: Sequence[Path] = (), stdin: bytes | None = None) -> Desired:
        """Equal to what a first reading gives, at any time. Raises SourceError, and forgets nothing because of it."""
        with self._seen.cycle():
            root, inside = _root(self.path)
            settings = _settings(root, self._seen, self._settings)
            kept = self._pages if settings.sha == self._settings.sha else {}
            of_host = {} if settings.problems else manifests.host_variables(settings.value.hosts, self.host)
            reading = _Reading(root, settings, {**of_host, **self._variables}, self._seen, kept)
            found = reading.found()
            joined = reading.joined(files, stdin)
            pages = dict(found.pages)
            found.pages |= joined
            desired = replace(_desired(root, found, self.host), named=str(walk.named(self.path, root)))
            again = _Reading(root, settings, reading.variables, Seen(), {})
            desired = replace(desired, remake=functools.partial(again.remade, desired))
        self._settings, self._pages = settings, pages
        if joined:
            return replace(desired, selected=_under(desired, set(joined)), additive=True)
        return _selecting(desired, inside, found) if inside else desired


@dataclass(frozen=True, slots=True)
class Files:
    """A source as files. `stand` has where each object stands that is said to this host: the file, relative to the
    root, and which of its documents; `problems` are those that keep a file from being understood."""

    name: str
    root: Path
    stand: Mapping[Ref, Sequence[tuple[str, int]]]
    problems: tuple[Problem, ...]


class _Reading:
    """One of them: pages are taken from `kept`, or made."""

    def __init__(
        self, root: Path, settings: _Settings, variables: Mapping[str, str], seen: Seen, kept: Mapping[str, _Kept]
    ) -> None:
        self.root, self.settings, self.variables, self.seen, self.kept = root, settings, variables, seen, kept
        self.trees: Trees = functools.cache(functools.partial(_tree, root, seen))

    def found(self) -> _Found:
        found = _Found(self.settings, list(self.settings.problems))
        for relative, entry in walk.manifests(self.root, SETTINGS, MAX_FILES):
            try:
                kept = found.pages[relative] = self._page(relative, entry)
            except OSError as error:
                message = f"can't be read: {error.strerror}"
                found.problems.append(Problem(At(relative), "", message, "INCORRECT_YAML"))
                continue
            if kept.empty:
                found.problems.append(Problem(At(relative), "", _EMPTY, "INCORRECT_YAML"))
        return found

    def _page(self, relative: str, entry: os.DirEntry[str]) -> _Kept:
        """Raises OSError, also for a link that leads out of the root or to no regular file."""
        kept = self.kept.get(relative)
        status = walk.followed(self.root, entry) if entry.is_symlink() else entry.stat(follow_symlinks=False)
        if kept and kept.holds(self.seen.unchanged(entry.path, status), self.trees):
            return kept
        content = _read(Path(entry.path))
        sha = self.seen.keep(entry.path, status, content)
        return kept if kept and kept.holds(sha, self.trees) else self._made(relative, content, sha)

    def _made(self, file: str, content: bytes, sha: str) -> _Kept:
        texts = functools.partial(_text, self.root)
        page = manifests.page(file, content, self.settings.value, self.variables, self.trees, texts)
        return _Kept(sha, page, not content.strip())

    def remade(self, desired: Desired, revision: Revision) -> Service | None:
        """The service as the revision was written, where its manifest stands, with the variables and files of now."""
        now = desired.services.get(revision.ref)
        said = now and self._made(now.place.file, manifests.again(revision), "").page.statements[0].object
        return replace(said, volumes=now.volumes) if now and isinstance(said, Service) else None

    def joined(self, files: Sequence[Path], stdin: bytes | None) -> dict[str, _Kept]:
        contents: dict[str, bytes] = {}
        for file in files:
            real = file.resolve()
            inside = real.is_relative_to(self.root)
            try:
                contents[real.relative_to(self.root).as_posix() if inside else str(real)] = _read(real)
            except OSError as error:
                raise SourceError(f"{file} can't be read: {error.strerror}") from error
        if stdin is not None:
            contents[STDIN] = stdin
        return {f: self._made(f, content, hashlib.sha256(content).hexdigest()) for f, content in contents.items()}


@dataclass(frozen=True, slots=True)
class _Settings:
    """lb.yaml as it was read; `sha` is of its content, "" where there is none."""

    sha: str
    value: manifests.Settings
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A page, and the hash of the content that it was made from."""

    sha: str
    page: manifests.Page
    empty: bool

    def holds(self, sha: str, trees: Trees) -> bool:
        return self.sha == sha and all(trees(path) == answer for path, answer in self.page.looked.items())


@dataclass(slots=True)
class _Found:
    """What one reading found. `problems` are those of lb.yaml, and of files that say nothing; the pages hold others."""

    settings: _Settings
    problems: list[Problem]
    pages: dict[str, _Kept] = field(default_factory=dict)  # by path relative to the root


_NO_SETTINGS = _Settings("", manifests.Settings({}))


def _desired(root: Path, found: _Found, host: str) -> Desired:
    if not found.pages and not found.problems:
        raise SourceError(
            f"there are no manifests in {root}; nothing is changed", hint="is it mounted, is it the right folder?"
        )
    settings = found.settings.value
    pages = {file: kept.page for file, kept in found.pages.items()}
    name, here = _called(settings, root), None if found.settings.problems else host
    desired = manifests.assemble(pages, source=name, root=str(root), settings=settings, host=here)
    if not (desired.mentioned or desired.elsewhere or desired.problems or found.problems):
        raise SourceError(f"the manifests in {root} declare nothing; nothing is changed", hint="are they half-written?")
    if found.settings.problems:  # whose objects these are, and with which values, is not known
        desired = replace(desired, services={}, namespaces={})
    problems = (*found.problems, *desired.problems)
    complete = desired.complete and not found.problems
    return replace(desired, problems=problems, complete=complete, digest=_digest(found))


def _digest(found: _Found) -> str:
    """SHA-256 over lb.yaml, every manifest and everything that is mounted from the source. Neither times nor the
    root's place count, and no variable from outside: it is stored and shown, so not even in the path of a bind."""
    lines = [f"{SETTINGS}\0{found.settings.sha}"]
    lines += [f"{problem.place}\0{problem.message}" for problem in found.problems]
    for file, kept in found.pages.items():
        mounted = "\0".join(digest or "unreadable" for digest, _ in kept.page.looked.values())
        lines.append(f"{file}\0{kept.sha}\0{mounted}")
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _selecting(desired: Desired, inside: str, found: _Found) -> Desired:
    """What lies under a path inside the source."""
    files = {f for f in found.pages if f == inside or f.startswith(inside + "/")}
    if not files and not found.problems:
        raise SourceError(f"there are no manifests in {Path(desired.root) / inside}; nothing is changed")
    return replace(desired, selected=_under(desired, files))


def _under(desired: Desired, files: set[str]) -> frozenset[Ref]:
    services = {ref for ref, service in desired.services.items() if service.place.file in files}
    spaces = {ns.ref for ns in desired.namespaces.values() if ns.place.file in files}
    return frozenset(services | spaces)


def _root(path: Path) -> tuple[Path, str]:
    """The source's root, and the path inside it that was named ("" for all of it)."""
    try:
        real = path.resolve(strict=True)
        for folder in (real, *real.parents):
            if (folder / SETTINGS).is_file():
                inside = real.relative_to(folder).as_posix()
                return folder, "" if inside in (".", SETTINGS) else inside
        return (real, "") if real.is_dir() else (real.parent, real.name)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; nothing is changed") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, until Python 3.12
        raise SourceError(f"{path} can't be read: {getattr(error, 'strerror', error)}; nothing is changed") from error


def _called(settings: manifests.Settings, root: Path) -> str:
    # What is fetched lies in another folder for each commit, and is one source all the same.
    return settings.name or remote.name(root) or str(root)


def _settings(root: Path, seen: Seen, before: _Settings) -> _Settings:
    """`before` is given back while lb.yaml holds the same."""
    file = root / SETTINGS
    if not file.exists():
        return _NO_SETTINGS
    try:
        status = file.stat()
        sha = seen.unchanged(str(file), status)
        if sha and sha == before.sha:
            return before
        content = _read(file)
    except OSError as error:
        raise SourceError(f"{file} can't be read: {error.strerror}; nothing is changed") from error
    sha = seen.keep(str(file), status, content)
    if sha == before.sha:
        return before
    value, problems = manifests.settings(SETTINGS, content)
    return _Settings(sha, value, tuple(problems))


def _read(path: Path) -> bytes:
    """At most a byte over the limit: the reader then says that it is too large."""
    with path.open("rb") as handle:
        return handle.read(manifests.MAX_BYTES + 1)


def _tree(root: Path, seen: Seen, relative: str) -> tuple[str, str]:
    try:
        return snapshots.digest_now(root, relative, seen), ""
    except SourceError as error:
        return "", f"{relative} {error.message}"
    except OSError as error:
        return "", f"{relative} can't be read: {error.strerror}"


def _text(root: Path, relative: str) -> tuple[str, str]:
    """Of one file, whose digest was asked for already."""
    try:
        content = [data for name, data, _ in snapshots.content(root, relative) if not name]
        if not content:
            return "", f"{relative} is a folder; name a file"
        if len(content[0]) > manifests.MAX_BYTES:
            return "", f"{relative} is larger than {manifests.MAX_BYTES // 1024} KiB; split it"
        return content[0].decode("utf-8"), ""
    except SourceError as error:
        return "", f"{relative} {error.message}"
    except UnicodeDecodeError:
        return "", f"{relative} is not UTF-8 text; save it as UTF-8"
    except OSError as error:
        return "", f"{relative} can't be read: {error.strerror}"
