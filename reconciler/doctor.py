"""What is wrong with a host, its engine or the state, each with the way out. Pure: facts in, checks out.

One function a check. A check that can't be made, because the engine does not answer or the state can't be read, is
left out: what stands in its way is a check of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from .clock import seconds
from .errors import LbError, StateError
from .lock import Holder
from .model import Observed, Recorded
from .recovery import recover
from .remote import Record
from .runtime import LABEL_NAMESPACE
from .store.backup import Contents

API = (1, 41)
WATCHES, INSTANCES = 8192, 128  # fewer are soon used up by other programs of the same user
SCARCE, EXHAUSTED = 200 * 1024**2, 16 * 1024**2  # bytes free for the state
LONG = 3600.0  # seconds that no apply should take
Result = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Folder:
    """The state folder. `writable` is that of the nearest folder that exists; `open_files` are readable by others."""

    path: str
    exists: bool
    writable: bool
    open_files: tuple[str, ...] = ()
    free: int = 0  # bytes
    inodes: int = 1  # free ones


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out. `socket` is the file of the endpoint ("remote": there is none on this host). `recorded` is
    None when the state could not be read; `watches` and `instances` are inotify's limits, None where there are none.
    `refusal` is why this state may not change this engine, `marked` whether any state says that it does.
    """

    now: str
    endpoint: str
    socket: Literal["ok", "missing", "forbidden", "remote"]
    look: Observed | LbError
    folder: Folder
    contents: Contents | StateError | None
    recorded: Recorded | None
    holder: Holder | StateError | None
    marked: bool
    refusal: LbError | None
    watches: int | None
    instances: int | None
    remotes: tuple[Record, ...] = ()  # of sources that are fetched


@dataclass(frozen=True, slots=True)
class Check:
    """`hint` is the way out, "" when nothing is wrong."""

    name: str
    result: Result
    message: str
    hint: str = ""


def checks(facts: Facts) -> tuple[Check, ...]:
    every: tuple[Callable[[Facts], Check | None], ...] = (
        _socket, _engine, _api, _local, _limits, _folder, _privacy, _disk, _state, _bound, _lock, _marker, _inotify,
        _remote, _containers, _networks, _volumes, _open_steps, _restored,
    )  # fmt: skip
    return tuple(found for check in every if (found := check(facts)))


def _socket(facts: Facts) -> Check | None:
    where = facts.endpoint.removeprefix("unix://")
    match facts.socket:
        case "missing":
            return Check(
                "socket",
                "fail",
                f"{where} is not there",
                "start the engine (`systemctl start docker`), or set DOCKER_HOST",
            )
        case "forbidden":
            return Check(
                "socket",
                "fail",
                f"no right to use {where}",
                "run as root, or join the group that owns it (`usermod -aG docker USER`)",
            )
        case "ok":
            return Check("socket", "ok", f"{where} may be used")
    return None


def _engine(facts: Facts) -> Check:
    if isinstance(facts.look, LbError):
        return Check("engine", "fail", facts.look.message, facts.look.hint or "look at `docker info`")
    return Check("engine", "ok", f"{facts.look.engine.version} answers at {facts.endpoint}")


def _api(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError):
        return None
    spoken = facts.look.engine.api_version
    wanted = ".".join(map(str, API))
    if tuple(int(part) for part in spoken.split(".") if part.isdigit()) < API:
        return Check("api", "fail", f"API {spoken}, and {wanted} is needed", "use Docker 20.10 or later")
    return Check("api", "ok", f"API {spoken}")


def _local(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError) or facts.look.engine.local:
        return None
    return Check(
        "local",
        "warn",
        f"the engine at {facts.endpoint} is not on this host, where the lock would not reach it",
        "run lb there, or change it with --remote-engine when nobody else does",
    )


def _limits(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError):
        return None
    if lacks := facts.look.engine.lacks:
        return Check("limits", "warn", f"the kernel does not limit {', '.join(lacks)} of containers",
                     "boot it with `cgroup_enable=memory swapaccount=1`, or use cgroup v2")  # fmt: skip
    return Check("limits", "ok", "memory, swap, cpus and pids of containers can be limited")


def _folder(facts: Facts) -> Check:
    folder = facts.folder
    if not folder.writable:
        return Check(
            "folder", "fail", f"{folder.path} can't be written", "run as its owner, or name another with --state"
        )
    there = "" if folder.exists else " is not there yet; the first apply makes it"
    return Check("folder", "ok", f"{folder.path}{there or ' can be written'}")


def _privacy(facts: Facts) -> Check | None:
    if not facts.folder.open_files:
        return None
    names = " ".join(f"{facts.folder.path}/{name}" for name in facts.folder.open_files)
    return Check("privacy", "warn", "the state can be read by others than its owner", f"chmod 600 {names}")


def _disk(facts: Facts) -> Check:
    free = facts.folder.free
    said = f"{free // 1024**2} MiB free for the state"
    if free < EXHAUSTED or not facts.folder.inodes:
        what = said if facts.folder.inodes else "no inode free for the state"
        return Check(
            "disk", "fail", f"{what}: without it nothing is changed", f"make room where {facts.folder.path} is"
        )
    if free < SCARCE:
        return Check("disk", "warn", said, f"make room where {facts.folder.path} is")
    return Check("disk", "ok", said)


def _state(facts: Facts) -> Check:
    found = facts.contents
    if isinstance(found, StateError):
        return Check("state", "fail", found.message, found.hint or "restore a backup with `lb state restore`")
    if found is None:
        return Check("state", "ok", "nothing was applied yet")
    said = f"whole, version {found.version} of its tables, {found.services} service{'' if found.services == 1 else 's'}"
    return Check("state", "ok", said + (", to be brought up to date by the next command" if found.outdated else ""))


def _bound(facts: Facts) -> Check | None:
    """Another engine than the one it manages: everything in it would be made there a second time."""
    if isinstance(facts.look, LbError) or not isinstance(facts.contents, Contents) or not facts.contents.engine:
        return None
    bound, seen = facts.contents.engine, facts.look.engine
    if (bound.id, bound.root) == (seen.id, seen.root):
        return None
    return Check(
        "bound",
        "warn",
        f"the state is of the engine at {bound.endpoint}, this is another one",
        "set DOCKER_HOST or --state so that they belong together",
    )


def _lock(facts: Facts) -> Check:
    holder = facts.holder
    if isinstance(holder, StateError):
        return Check("lock", "fail", holder.message, holder.hint)
    if holder is None:
        return Check("lock", "ok", "free")
    said = f"held by pid {holder.pid} (`{holder.command}`) since {holder.since[:19]}Z"
    if seconds(facts.now) - seconds(holder.since) > LONG:
        return Check(
            "lock", "warn", said, f"see what it waits for; after `kill {holder.pid}` the next apply carries on"
        )
    return Check("lock", "ok", said)


def _marker(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError) or facts.recorded is None:
        return None
    if facts.refusal:
        return Check("marker", "fail", facts.refusal.message, facts.refusal.hint)
    if facts.marked:
        return Check("marker", "ok", "the engine says that this state manages it")
    if facts.recorded.services or facts.recorded.namespaces:
        return Check("marker", "warn", "the engine has lost the mark that this state manages it",
                     "the next `lb apply` puts it back")  # fmt: skip
    return Check("marker", "ok", "no state manages this engine yet")


def _inotify(facts: Facts) -> Check | None:
    few = [(name, found, least) for name, found, least in (
        ("max_user_watches", facts.watches, WATCHES), ("max_user_instances", facts.instances, INSTANCES),
    ) if found is not None and found < least]  # fmt: skip
    if not few:
        return (
            None
            if facts.watches is None
            else Check("inotify", "ok", f"{facts.watches} watches, {facts.instances} instances")
        )
    said = ", ".join(f"fs.inotify.{name} is {found}" for name, found, _ in few)
    way = " ".join(f"fs.inotify.{name}={least}" for name, _, least in few)
    return Check("inotify", "warn", f"{said}: changed files may be noticed late", f"sysctl -w {way}")


def _remote(facts: Facts) -> Check | None:
    if not facts.remotes:
        return None
    if wrong := [record for record in facts.remotes if record.trouble]:
        said = "; ".join(f"{record}: {record.trouble}" for record in wrong)
        return Check(
            "remote", "warn", said, "what was fetched last stays; `lb plan NAME` tries again, and says why not"
        )
    return Check("remote", "ok", _some([str(record) for record in facts.remotes]))


def _containers(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError) or facts.recorded is None:
        return None
    known = recover(facts.recorded, facts.look).recorded
    ours = {row.id for service in known.services.values() for row in service.containers}
    found = sorted(c.name for c in facts.look.containers if c.id not in ours)
    if not found:
        return Check("containers", "ok", "all that carry our labels are recorded")
    return Check(
        "containers",
        "warn",
        f"not recorded, though they carry our labels: {_some(found)}",
        "`lb apply --adopt` takes over what a manifest describes; `docker rm -f` removes a copy or a leftover",
    )


def _networks(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError) or facts.recorded is None:
        return None
    known = recover(facts.recorded, facts.look).recorded
    ours = {namespace.network for namespace in known.namespaces.values()}
    found = sorted(n.name for n in facts.look.networks if LABEL_NAMESPACE in n.labels and n.id not in ours)
    if not found:
        return Check("networks", "ok", "each belongs to a namespace")
    return Check(
        "networks",
        "warn",
        f"of no namespace that is recorded: {_some(found)}",
        "`lb apply --adopt` takes over what a manifest describes; `docker network rm` removes a leftover",
    )


def _volumes(facts: Facts) -> Check | None:
    if isinstance(facts.look, LbError) or facts.recorded is None:
        return None
    known = recover(facts.recorded, facts.look).recorded.volumes
    labelled = [volume for volume in facts.look.volumes if LABEL_NAMESPACE in volume.labels]
    found = sorted(v.name for v in labelled if not (v.name in known and known[v.name].is_(v)))
    if not found:
        return Check("volumes", "ok", "all that carry our labels are recorded")
    return Check(
        "volumes",
        "warn",
        f"not recorded, though they carry our labels: {_some(found)}",
        "`lb apply --adopt` uses their data where a manifest names them; `docker volume rm` removes them",
    )


def _open_steps(facts: Facts) -> Check | None:
    if facts.recorded is None or not facts.recorded.intents or facts.holder is not None:
        return None
    steps = _some([f"{intent.step} {intent.ref}" for intent in facts.recorded.intents])
    return Check("steps", "warn", f"a run was cut off in the middle: {steps}", "the next `lb apply` carries on")


def _restored(facts: Facts) -> Check | None:
    if facts.recorded is None or not facts.recorded.restored_at:
        return None
    sources = _some(sorted(facts.recorded.restored_at))
    return Check(
        "restored",
        "warn",
        f"the state was restored from a backup, and not applied since: {sources}",
        "look at `lb plan` of each source, then apply it",
    )


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
