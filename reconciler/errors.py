"""What can go wrong: each error knows its exit code and whether trying again can help.

One root, `LbError`. Errors of Docker, SQLite and YAML are translated once, at the door they came in by,
and raised `from` the original, so that `--debug` still shows it. Exit codes follow sysexits.h where it has one.
"""

from __future__ import annotations

from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CHANGES = 2
EXIT_USAGE = 64
EXIT_INVALID = 65
EXIT_UNREACHABLE = 69
EXIT_STATE = 73
EXIT_LOCKED = 75
EXIT_REFUSED = 77
EXIT_INTERRUPTED = 130

_WORST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_STATE,
    EXIT_LOCKED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    EXIT_REFUSED,
    EXIT_INVALID,
    EXIT_FAILED,
    EXIT_CHANGES,
)


def worst(codes: Iterable[int]) -> int:
    """The exit code to leave with when several hold; 0 when none does."""
    held = set(codes)
    return next((code for code in _WORST_FIRST if code in held), EXIT_OK)


class LbError(Exception):
    """Anything `lb` can explain. `hint` is the way out."""

    exit_code = EXIT_FAILED
    temporary = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def line(self) -> str:
        """What happened, and the way out, for people."""
        return f"{self.message}: {self.hint}" if self.hint else self.message


class UsageError(LbError):
    """The command line cannot be carried out as given."""

    exit_code = EXIT_USAGE


class SourceError(LbError):
    """The source cannot be read as a whole: missing, unreadable, unmounted, over a limit. Nothing is deleted."""

    exit_code = EXIT_INVALID


class StateError(LbError):
    """The state cannot be read or written; without it nothing may be mutated."""

    exit_code = EXIT_STATE


class LockedError(LbError):
    """Another process is changing this engine. The message says who."""

    exit_code = EXIT_LOCKED
    temporary = True


class RefusedError(LbError):
    """A guard or the host's policy says no."""

    exit_code = EXIT_REFUSED


class InterruptedByUser(LbError):
    """Ctrl-C or SIGTERM: the step in flight was finished and recorded."""

    exit_code = EXIT_INTERRUPTED


class EngineUnreachable(LbError):
    """No engine answers at the endpoint."""

    exit_code = EXIT_UNREACHABLE
    temporary = True


class EngineError(LbError):
    """The engine answered a call with an error."""


class Rejected(EngineError):
    """The engine says that what we ask for is wrong; asking again will not help."""


class NotFound(EngineError):
    """The container, network, volume or image that was named does not exist."""


class NameConflict(EngineError):
    """The name is held by an object that is not ours."""


class PortTaken(EngineError):
    """A host port is held by somebody else; the message names the holder."""


class Stuck(EngineError):
    """The engine lost track of a container, and can't start it any more."""


class ImageUnavailable(EngineError):
    """The image is not here and could not be pulled."""


class Denied(EngineError):
    """The host's policy does not allow what was asked for."""

    exit_code = EXIT_REFUSED


class UpdateRefused(EngineError):
    """The engine will not change this value on a live container."""


class NotReady(EngineError):
    """A replica did not pass the health gate. `logs` are its last lines."""

    def __init__(self, message: str, *, logs: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.logs = logs
