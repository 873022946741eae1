"""`lb` at a desk without an engine: whole command lines, run in this process on the engine in memory."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler import clock
from reconciler.cli import run
from reconciler.errors import EngineUnreachable
from reconciler.host import Host
from reconciler.model import EngineInfo
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.support.memory import Memory

IMAGE = "app:1"


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Mortal(Memory):
    """An engine that does not answer while it is `gone`."""

    gone: bool = False

    def info(self) -> EngineInfo:
        if self.gone:
            raise EngineUnreachable("no Docker Engine answers: gone", hint="start it")
        return super().info()


@dataclass
class Desk:
    """A source in `folder`, which is the current one, a state beside it, and an engine."""

    folder: Path
    state: Path
    memory: Mortal = field(default_factory=Mortal)

    def namespace(self, name: str = "demo", **meta: Any) -> None:
        self._write(f"{name}.yaml", {"kind": "Namespace", "meta": {"name": name, **meta}})

    def service(self, name: str, namespace: str = "demo", meta: dict[str, Any] | None = None, **spec: Any) -> None:
        quick = {"image": IMAGE, "command": ["sleep", "1000"], "update": {"min_ready": "0s"}, **spec}
        wanted = {key: value for key, value in quick.items() if value is not None}
        self._write(
            f"{namespace}.{name}.yaml",
            {"kind": "Service", "meta": {"name": name, "namespace": namespace, **(meta or {})}, "spec": wanted},
        )

    def remove(self, file: str) -> None:
        (self.folder / file).unlink()

    def lb(self, *arguments: str, code: int = 0) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = run(list(arguments))
        said = Said(found, out.getvalue(), err.getvalue())
        assert said.code == code, f"exit {said.code}, not {code}\n{said.out}\n{said.err}"
        return said

    def apply(self, *arguments: str, code: int = 0) -> Said:
        return self.lb("apply", "--yes", *arguments, code=code)

    def store(self) -> contextlib.closing[Store]:
        return contextlib.closing(Store.open(self.state))

    def engine(self, state: Path, host: Host | None = None) -> Engine:
        self.memory.info()
        return Engine(self.memory, str(state / "snapshots"), clock.now, host)

    def _write(self, file: str, document: dict[str, Any]) -> None:
        (self.folder / file).write_text(json.dumps({"apiVersion": "lb/v1", **document}))  # JSON is YAML
