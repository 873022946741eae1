"""Credentials for registries: found as the docker client finds them, read anew at each pull, shown nowhere."""

from __future__ import annotations

import json
import signal

from tests.e2e.registries import PASSWORD, Shelf, helper, locked
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.registry import USER

__all__ = ["locked"]

ROTATED = "canary-9a02-rotated"


def refusal(shelf: Shelf, why: str, name: str = "app") -> str:
    return f"image {shelf.image(name)} can't be pulled: registry {shelf.address} {why}: docker login {shelf.address}"


def message(shelf: Shelf) -> str:
    (failed,) = [o for o in shelf.sandbox.apply("-o", "json", code=1).json["outcomes"] if o["object"] == "t/a"]
    return str(failed["message"])


def test_missing_and_wrong_credentials_are_told_apart(locked: Shelf) -> None:
    image_id = locked.push("app")
    locked.sandbox.service("a", image=locked.image("app"))
    file = locked.configure({})
    assert message(locked) == refusal(locked, f"wants credentials, and {file} has none for it")
    file.unlink()
    assert message(locked) == refusal(locked, f"wants credentials, and there is no {file}")
    locked.log_in("canary-wrong")
    assert message(locked) == refusal(locked, f"refuses the credentials from {file}")
    locked.log_in(PASSWORD, "other.example")
    assert message(locked) == refusal(locked, f"wants credentials, and {file} has none for it")
    locked.log_in(PASSWORD)
    locked.sandbox.apply()
    assert locked.sandbox.one("a")["Image"] == image_id


def test_an_entry_may_be_an_address(locked: Shelf) -> None:
    locked.push("app")
    locked.log_in(PASSWORD, f"http://{locked.address}/v2/")
    locked.sandbox.service("a", image=locked.image("app"), pull_policy="always")
    locked.sandbox.apply()
    assert locked.sandbox.live("a")


def test_helpers_are_asked(locked: Shelf) -> None:
    sandbox, file = locked.sandbox, locked.configure({"credHelpers": {locked.address: "lbtest"}})
    locked.push("app")
    sandbox.service("a", image=locked.image("app"))
    named = f"docker-credential-lbtest, which {file} names"
    assert message(locked) == refusal(locked, f"wants credentials, and {named}, is not in PATH")

    answer = f"""
assert sys.argv[1:] == ["get"]
key = sys.stdin.read()
if key != {locked.address!r}:
    sys.exit("credentials not found in native keychain")
print(json.dumps({{"ServerURL": key, "Username": {USER!r}, "Secret": SECRET}}))
"""
    sandbox.env["PATH"] = helper(sandbox.folder / "bin", "lbtest", answer.replace("SECRET", repr("canary-wrong")))
    assert message(locked) == refusal(locked, f"refuses the credentials from {named}")
    locked.configure({"credsStore": "lbtest"})
    helper(sandbox.folder / "bin", "lbtest", answer.replace("SECRET", repr(PASSWORD)))
    sandbox.apply()
    assert sandbox.live("a")


def test_a_helper_that_fails_does_not_stop_what_needs_no_credentials(locked: Shelf) -> None:
    file = locked.configure({"credsStore": "lbtest"})
    locked.push("app")
    locked.sandbox.service("a", image=locked.image("app"))
    failing = helper(locked.sandbox.folder / "bin", "lbtest", f"print('locked'); sys.exit({PASSWORD!r})")
    locked.sandbox.env["PATH"] = failing
    why = f"wants credentials, and docker-credential-lbtest, which {file} names, failed (exit 1: locked)"
    assert message(locked) == refusal(locked, why)


def test_a_daemon_takes_a_new_password_at_the_next_pull(locked: Shelf) -> None:
    sandbox = locked.sandbox
    first, second = locked.push("app"), locked.push("app", tag="2", mark="second")
    locked.log_in(PASSWORD)
    sandbox.service("a", image=locked.image("app"))
    with running_daemon(sandbox) as daemon:
        eventually(lambda: [c["Image"] for c in sandbox.live("a")] == [first])
        locked.registry.set_password(ROTATED)
        sandbox.service("a", image=locked.image("app", "2"))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "refuses the credentials from" in daemon.log)
        assert [c["Image"] for c in sandbox.live("a")] == [first]
        locked.log_in(ROTATED)
        eventually(lambda: [c["Image"] for c in sandbox.live("a")] == [second])
        assert daemon.end() == 0


def test_no_credential_is_shown_or_kept(locked: Shelf) -> None:
    sandbox = locked.sandbox
    locked.push("app")
    sandbox.service("a", image=locked.image("app"))
    sandbox.service("b", image=locked.image("none"), pull_policy="always")
    file = locked.log_in("canary-wrong")
    shown = [sandbox.apply("--debug", code=1), sandbox.apply("-o", "json", code=1)]
    locked.log_in(PASSWORD)
    shown += [sandbox.apply("--debug", code=1), sandbox.lb("plan", "-o", "json", code=1)]
    shown += [sandbox.lb("get", "services", "-o", form) for form in ("table", "wide", "json", "yaml")]
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "is not in the registry" in daemon.log)
        assert daemon.end() == 0
    assert sandbox.live("a"), "the credentials were used"
    encoded = file.read_text().partition('"auth": "')[2].partition('"')[0]
    assert encoded
    kept = [path.read_bytes() for path in sandbox.state.rglob("*") if path.is_file()]
    inspected = str(sandbox.containers()).encode()
    everything = [daemon.log.encode(), inspected, *kept, *((r.out + r.err).encode() for r in shown)]
    assert len(kept) > 0
    for canary in (PASSWORD, "canary-wrong", encoded):
        assert all(canary.encode() not in text for text in everything)


def test_the_host_names_where_credentials_of_a_registry_are(locked: Shelf) -> None:
    """Also for a daemon that was started without DOCKER_CONFIG, and from the next pull on when they change."""
    sandbox = locked.sandbox
    locked.push("app")
    locked.push("next")
    sandbox.service("a", image=locked.image("app"))
    written = locked.log_in(PASSWORD)
    own = sandbox.folder / "own"
    written.parent.rename(own)
    locked.configure({})
    sandbox.host.write_text(json.dumps({"registries": {locked.address: {"docker_config": str(own)}}}))
    sandbox.apply()
    del sandbox.env["DOCKER_CONFIG"]
    with running_daemon(sandbox) as daemon:
        (own / "config.json").unlink()
        sandbox.service("a", image=locked.image("next"))
        eventually(lambda: "can't be pulled" in daemon.log)
        assert f"there is no {own}/config.json: docker --config {own} login {locked.address}" in daemon.log
        locked.log_in(PASSWORD).rename(own / "config.json")
        eventually(lambda: [c["Config"]["Image"] for c in sandbox.live("a")] == [locked.image("next")], seconds=60)
