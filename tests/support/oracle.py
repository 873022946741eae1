"""What must be true of the engine and of the state's file at the end, read raw: from inspects and with SQL, never
from what lb makes of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.model import Desired, Ref, Service
from tests.support.memory import Memory

MAY_WAIT = {"create", "network", "volume"}  # intents whose answer was lost: the engine may still be about to do it


@dataclass(frozen=True)
class Before:
    """What stood there before the fault: raw inspects of those that nothing may happen to, `foreign` among them, and
    all volumes."""

    untouched: Mapping[str, Any] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, engine: Memory, ours: Collection[str], foreign: Collection[str]) -> Before:
        raw = engine.raw()
        untouched = {key: raw[key] for key in {*ours, *foreign}}
        return cls(untouched, frozenset(foreign), frozenset(v.name for v in engine.all_volumes()))

    def also(self, engine: Memory, foreign: Collection[str]) -> Before:
        """With more that is not ours."""
        raw = engine.raw()
        untouched = {**self.untouched, **{key: raw[key] for key in foreign}}
        return replace(self, untouched=untouched, foreign=self.foreign | set(foreign))


@dataclass(frozen=True)
class Wanted:
    """What is to be there. `kept` are services of which one failed replica may stay for inspection."""

    live: Desired
    kept: frozenset[Ref] = frozenset()
    maybe: frozenset[str] = frozenset()  # namespaces whose network may be there, or not yet
    loose: frozenset[Ref] = frozenset()  # of which only the numbers that run twice are wrong


def judge(engine: Memory, state: Path, before: Before, wanted: Wanted) -> list[str]:
    """What is wrong, in words; nothing is right."""
    raw = engine.raw()
    wrong = [f"{row['Name']} was touched" for key, row in before.untouched.items() if raw.get(key) != row]
    ours = {key: row for key, row in raw.items() if key not in before.foreign}
    networks = {network.name: network.id for network in engine.networks()}
    maybe = {f"lb.{name}" for name in wanted.maybe}
    expected = {f"lb.{name}" for name in wanted.live.namespaces}
    if len(networks) != len(engine.networks()) or networks.keys() - maybe != expected - maybe:
        wrong.append(f"networks {sorted(n.name for n in engine.networks())}, wanted {sorted(expected)}")
    for ref in wanted.loose:
        running = [r["Name"] for r in ours.values() if _ref(r) == ref and r["State"]["Status"] == "running"]
        if len({name.rpartition("-")[0] for name in running}) != len(running):
            wrong.append(f"twice: {running}")
    for ref, service in wanted.live.services.items():
        mine = {key: row for key, row in ours.items() if _ref(row) == ref}
        wrong += _judge_service(service, mine, networks, ref in wanted.kept)
    strangers = [row["Name"] for row in ours.values() if _ref(row) not in {*wanted.live.services, *wanted.loose}]
    wrong += [f"leaked {name}" for name in strangers]
    volumes = {volume.name for volume in engine.all_volumes()}
    wrong += [f"volume {name} is gone" for name in before.volumes - volumes]
    mounted = {f"lb.{ref.namespace}.{m.source}" for ref, s in wanted.live.services.items() for m in s.spec.mounts}
    wrong += [f"volume {name} is missing" for name in mounted - volumes]
    wrong += _judge_unnamed(state, {volume.name for volume in engine.all_volumes() if volume.unnamed})
    return wrong + _judge_state(state, set(ours), set(networks.values()), wanted.loose)


def kept(engine: Memory, ref: Ref, before: Before) -> int:
    """How many failed replicas of a service stay for inspection."""
    raw = engine.raw()
    return sum(1 for key, row in raw.items() if key not in before.foreign and _ref(row) == ref and _is_kept(row))


def _judge_service(service: Service, mine: Mapping[str, Any], networks: Mapping[str, str], kept: bool) -> list[str]:
    ref, spec = service.ref, service.spec
    serving = {key: row for key, row in mine.items() if not _is_kept(row)} if kept else mine
    wrong = [f"{len(mine) - len(serving)} failed replicas of {ref} were kept"] if len(mine) - len(serving) > 1 else []
    numbers = sorted(int(row["Config"]["Labels"]["lb.replica"]) for row in serving.values())
    if numbers != list(range(1, spec.replicas + 1)):
        wrong.append(
            f"{ref} has replicas {numbers}, wanted {spec.replicas}: {sorted(r['Name'] for r in mine.values())}"
        )
    joined = sorted(networks.get(f"lb.{name}", "") for name in (ref.namespace, *spec.links.networks))
    for row in serving.values():
        config, host, state = row["Config"], row["HostConfig"], row["State"]
        facts = {
            "state": (state["Status"], "running"),
            "env": (config["Env"], [f"{k}={v}" for k, v in spec.env or ()]),
            "command": (config["Cmd"], list(spec.command or ())),
            "memory": (host["Memory"], spec.memory or 0),
            "restart": (host["RestartPolicy"]["Name"], spec.restart.partition(":")[0]),
            "networks": (sorted(n["NetworkID"] for n in row["NetworkSettings"]["Networks"].values()), joined),
            "ports": (sorted(host["PortBindings"]), sorted(f"{p.internal}/{p.protocol}" for p in spec.ports)),
            "name": (row["Name"].rpartition("-")[0], f"/{ref.namespace}.{ref.name}.{config['Labels']['lb.replica']}"),
        }  # fmt: skip
        wrong += [f"{row['Name']}: {key} is {now}, wanted {then}" for key, (now, then) in facts.items() if now != then]
    return wrong


def _judge_unnamed(state: Path, made: set[str]) -> list[str]:
    """Each that the engine made for a container of ours is known for good, so that a person may remove it."""
    with sqlite3.connect(f"file:{state / 'state.db'}?mode=ro", uri=True) as db:
        known = {row[0] for row in db.execute("select name from unnamed_volumes")}
    db.close()
    return [f"volume {name[:12]} has no name and is not in the state" for name in made - known]


def _judge_state(state: Path, ours: set[str], networks: set[str], loose: frozenset[Ref]) -> list[str]:
    with sqlite3.connect(f"file:{state / 'state.db'}?mode=ro", uri=True) as db:
        intents = db.execute("select step, namespace, service from intents").fetchall()
        rows = {row[0] for row in db.execute("select id from containers")}
        recorded = {row[0] for row in db.execute("select network from namespaces where network != ''")}
        pending = db.execute("select namespace, service from revisions where status = 'pending'").fetchall()
    db.close()
    wrong = [f"intent {' '.join(row)} is still open" for row in intents if row[0] not in MAY_WAIT]
    wrong += [f"{key[:12]} runs and is not in the state" for key in ours - rows]
    wrong += [f"{key[:12]} is in the state and gone" for key in rows - ours]
    wrong += ["the recorded networks are not those that are there"] if recorded != networks else []
    return wrong + [f"a revision of {'/'.join(row)} is pending" for row in pending if Ref(*row) not in loose]


def _ref(row: Any) -> Ref:
    labels = row["Config"]["Labels"]
    return Ref(labels.get("lb.namespace", ""), labels.get("lb.service", ""))


def _is_kept(row: Any) -> bool:
    return row["State"]["Status"] == "exited" and row["HostConfig"]["RestartPolicy"]["Name"] == "no"
