"""Fetched sources, with real repositories: what counts, what is refused, what a kill leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

import pytest

from reconciler import checkout, remote
from reconciler.errors import LbError
from reconciler.remote import Record, Remote, RemoteError, git, repository
from reconciler.remote.follower import Follower, pause
from reconciler.remote.repository import Repository
from tests.support.eventually import eventually
from tests.support.git import commit, key, signing
from tests.support.git import git as run


@dataclass
class Upstream:
    """A repository elsewhere, and the folder of the source that is fetched from it."""

    work: Path
    place: Path
    said: Remote

    def write(self, file: str, text: str, *options: str) -> str:
        (self.work / file).write_text(text)
        return commit(self.work, file, *options)

    def fetch(self, **changes: str) -> Record:
        return Repository(self.place, replace(self.said, **changes), lambda: "now").refresh()  # type: ignore[arg-type]

    @property
    def current(self) -> Path:
        return self.place / remote.CURRENT

    def read(self, file: str) -> str:
        return (self.current / file).read_text()


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    work = tmp_path / "work"
    work.mkdir()
    run(work, "init", "-q", "-b", "main")
    found = Upstream(work, tmp_path / "state" / remote.FOLDER / "shop", Remote(f"file://{work}", "main"))
    found.write("a.yaml", "1")
    return found


def test_the_newest_commit_is_what_is_read(upstream: Upstream) -> None:
    first = upstream.fetch()
    assert upstream.read("a.yaml") == "1" and first.commit == run(upstream.work, "rev-parse", "HEAD")
    assert str(checkout.look(str(upstream.current.resolve()))) == first.commit  # clean, too
    second = upstream.write("a.yaml", "2")
    assert upstream.fetch().commit == second and upstream.read("a.yaml") == "2"
    assert checkout.follows(str(upstream.current.resolve()), first.commit)
    assert remote.records(upstream.place.parents[1]) == (Record("shop", str(upstream.said), second, "now"),)


def test_a_checkout_never_changes_under_a_reader(upstream: Upstream) -> None:
    upstream.fetch()
    reading = upstream.current.resolve()
    upstream.write("a.yaml", "2")
    upstream.fetch()
    assert (reading / "a.yaml").read_text() == "1" and upstream.current.resolve() != reading
    upstream.write("a.yaml", "3")
    upstream.fetch()
    assert not reading.exists()  # nobody reads for two fetches
    assert (
        len([path for path in upstream.place.iterdir() if path.is_dir() and path.name != "git"]) == 3
    )  # with the link


def test_nothing_new_makes_nothing_anew(upstream: Upstream) -> None:
    upstream.fetch()
    before = (upstream.current.resolve().stat().st_ino, upstream.current.lstat().st_ino)
    upstream.fetch()
    assert (upstream.current.resolve().stat().st_ino, upstream.current.lstat().st_ino) == before


def test_a_source_is_called_what_it_is_fetched_as(upstream: Upstream, tmp_path: Path) -> None:
    upstream.fetch()
    root = upstream.current.resolve()
    assert remote.name(root) == "shop" and remote.around(upstream.current / "a.yaml") == "shop"
    assert remote.name(upstream.work) == "" and remote.around(tmp_path) == ""
    lookalike = tmp_path / remote.FOLDER / "x" / root.name
    lookalike.mkdir(parents=True)
    assert remote.name(lookalike) == ""


def test_the_branch_that_is_named_is_fetched_and_else_the_remotes_own(upstream: Upstream) -> None:
    run(upstream.work, "checkout", "-q", "-b", "next")
    upstream.write("a.yaml", "next")
    run(upstream.work, "checkout", "-q", "main")
    upstream.fetch(branch="next")
    assert upstream.read("a.yaml") == "next"
    upstream.fetch(branch="")
    assert upstream.read("a.yaml") == "1"


def away(upstream: Upstream) -> None:
    upstream.work.rename(upstream.work.with_name("away"))


def branch_gone(upstream: Upstream) -> None:
    run(upstream.work, "branch", "-m", "main", "other")


@pytest.mark.parametrize(("trouble", "kind"), [(away, "away"), (branch_gone, "branch")])
def test_what_was_good_last_stays_when_the_remote_does_not(
    upstream: Upstream, trouble: Callable[[Upstream], None], kind: str
) -> None:
    good = upstream.fetch().commit
    trouble(upstream)
    for _ in range(2):
        with pytest.raises(RemoteError) as caught:
            upstream.fetch()
        assert caught.value.kind == kind
    assert upstream.read("a.yaml") == "1"
    known = remote.record(upstream.place)
    assert known.commit == good and known.trouble == caught.value.line


def test_another_program_than_those_of_the_list_is_never_run(upstream: Upstream, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="transport 'ext' not allowed"):
        upstream.fetch(url=f"ext::touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


def test_no_hook_no_filter_and_no_setting_of_anybody_has_a_say(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[core]\nhooksPath={hooks}\nautocrlf=true\nfsmonitor=touch {tmp_path}/ran\n"
        f'[filter "x"]\nsmudge=sed s/1/smudged/\n[init]\ntemplateDir={hooks}\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text(settings.read_text())
    (upstream.work / ".gitattributes").write_text("* filter=x\n")
    upstream.write("a.yaml", "1\n")
    upstream.fetch()
    assert (upstream.current / "a.yaml").read_bytes() == b"1\n" and not (tmp_path / "ran").exists()


def test_a_submodule_is_an_empty_folder(upstream: Upstream, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(upstream.work, other)
    run(upstream.work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    commit(upstream.work, "sub")
    upstream.fetch()
    assert list((upstream.current / "sub").iterdir()) == []


def test_a_password_in_the_address_is_nowhere(upstream: Upstream) -> None:
    secret = "canary-5a1e"
    with pytest.raises(RemoteError) as caught:
        upstream.fetch(url=f"https://ann:{secret}@127.0.0.1:1/x.git")
    kept = "".join(path.read_text(errors="replace") for path in upstream.place.rglob("*") if path.is_file())
    assert secret not in caught.value.line + kept and "127.0.0.1:1" in str(caught.value)
    assert secret not in str(replace(upstream.said, url=f"https://ann:{secret}@x.example/y"))


# --- edited, half made, cut off


def test_what_somebody_edits_in_it_is_undone(upstream: Upstream) -> None:
    upstream.fetch()
    (upstream.current / "a.yaml").write_text("by hand")
    upstream.fetch()
    assert upstream.read("a.yaml") == "1"
    (upstream.work / ".gitignore").write_text("*.tmp.yaml\n")
    commit(upstream.work, "ignore")
    upstream.fetch()
    (upstream.current / "x.tmp.yaml").write_text("by hand, and ignored")
    upstream.fetch()
    assert not (upstream.current / "x.tmp.yaml").exists()


def test_leftovers_of_a_git_that_died_are_in_nobodys_way(upstream: Upstream) -> None:
    upstream.fetch()
    for lock in ("packed-refs.lock", "refs/lb/tip.lock", "config.lock", "HEAD.lock"):
        (upstream.place / "git" / lock).touch()
    newest = upstream.write("a.yaml", "2")
    (upstream.place / newest).mkdir()
    (upstream.place / newest / "a.yaml").write_text("half")
    (upstream.place / "current.new").symlink_to("nowhere")
    assert upstream.fetch().commit == newest and upstream.read("a.yaml") == "2"


@pytest.mark.parametrize("damage", ["objects", "HEAD", "refs"])
def test_a_damaged_repository_is_fetched_anew(upstream: Upstream, damage: str) -> None:
    upstream.fetch()
    found = upstream.place / "git" / damage
    shutil.rmtree(found) if found.is_dir() else found.write_text("nonsense")
    newest = upstream.write("a.yaml", "2")
    for _ in range(2):  # a try may only find it out
        try:
            upstream.fetch()
        except RemoteError:
            assert upstream.read("a.yaml") == "1"
    assert remote.record(upstream.place).commit == newest and upstream.read("a.yaml") == "2"


def test_killed_at_any_moment_the_next_fetch_carries_on(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """git is killed at its nth call, after which nothing more is done."""
    upstream.fetch()
    calls = 0

    class Killed(BaseException):
        pass

    real = git._call

    def cut(at: int) -> None:
        left = [at]

        def call(*arguments: object) -> git.Done:
            left[0] -= 1
            if not left[0]:
                if "worktree" in arguments[1]:  # type: ignore[operator]
                    real(*arguments)  # type: ignore[arg-type]
                    (upstream.place / arguments[1][-1] / "a.yaml").unlink(missing_ok=True)  # type: ignore[index]
                raise Killed
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(git, "_call", call)

    for at in range(1, 30):
        before, newest = upstream.read("a.yaml"), upstream.write("a.yaml", f"at {at}")
        cut(at)
        try:
            upstream.fetch()
        except Killed:
            calls += 1
        else:
            break
        assert upstream.read("a.yaml") in (before, f"at {at}")
        monkeypatch.setattr(git, "_call", real)
        assert upstream.fetch().commit == newest and upstream.read("a.yaml") == f"at {at}"
    assert calls > 8


def test_a_fetch_that_hangs_is_ended_with_all_that_it_started(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nsleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    cancel = Event()
    said: list[LbError] = []

    def fetch() -> None:
        try:
            Repository(upstream.place, Remote("ssh://x.example/y"), lambda: "now", cancel).refresh()
        except RemoteError as error:
            said.append(error)

    thread = Thread(target=fetch)
    thread.start()
    pid = tmp_path / "pid"
    eventually(lambda: pid.exists() and pid.read_text().strip())
    cancel.set()
    thread.join(10)
    assert said and "it was ended" in str(said[0])
    eventually(lambda: not alive(int(pid.read_text())))


def alive(pid: int) -> bool:
    """A process that has ended may stay in the table until somebody asks for it."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- signatures


@pytest.fixture
def signed(upstream: Upstream, tmp_path: Path) -> Upstream:
    ann = key(tmp_path, "ann")
    signers = tmp_path / "signers"
    signers.write_text(f"ann@example.org {ann.with_suffix('.pub').read_text()}")
    return replace(upstream, said=replace(upstream.said, signers=str(signers)))


def refused(upstream: Upstream, why: str) -> None:
    with pytest.raises(RemoteError, match=why) as caught:
        upstream.fetch()
    assert caught.value.kind.startswith("refused")


def test_only_a_commit_that_a_signer_has_signed_is_used(signed: Upstream, tmp_path: Path) -> None:
    refused(signed, "is refused: it is not signed")
    assert not signed.current.exists()
    good = signed.write("a.yaml", "2", *signing(tmp_path / "ann"))
    found = signed.fetch()
    assert (found.commit, found.verified, signed.read("a.yaml")) == (good, True, "2")
    signed.write("a.yaml", "3")
    refused(signed, "it is not signed")
    signed.write("a.yaml", "4", *signing(key(tmp_path, "eve")))
    refused(signed, "its signature is by none of")
    assert signed.read("a.yaml") == "2" and remote.record(signed.place).commit == good
    newest = signed.write("a.yaml", "5", *signing(tmp_path / "ann"))
    assert signed.fetch().commit == newest


def test_a_key_ring_that_trusts_a_commit_does_not_count(
    signed: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that says it is signed by OpenPGP, and a gpg that finds everything good."""
    gpg = tmp_path / "bin" / "gpg"
    gpg.parent.mkdir()
    status = (
        "NEWSIG",
        f"GOODSIG {'A' * 16} x",
        f"VALIDSIG {'A' * 40} 2026-01-01 1 0 4 0 1 8 00 {'A' * 40}",
        "TRUST_ULTIMATE 0 pgp",
    )
    gpg.write_text(
        '#!/bin/sh\ncat >/dev/null\ncase "$*" in *-bsau*) echo "[GNUPG:] SIG_CREATED " >&2\n'
        'printf -- "-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n";;\n*)\n'
        + "".join(f'echo "[GNUPG:] {line}"\n' for line in status)
        + ";; esac\n"
    )
    gpg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gpg.parent}:{os.environ['PATH']}")
    forged = signed.write("a.yaml", "2", "-S", "--gpg-sign=x")
    assert subprocess.run(["git", "verify-commit", forged], cwd=signed.work, check=False).returncode == 0
    refused(signed, "its signature is by none of")


def test_what_was_used_unsigned_is_not_once_it_has_to_be_signed(upstream: Upstream, signed: Upstream) -> None:
    upstream.fetch()
    refused(signed, "it is not signed")
    assert not signed.current.exists() and remote.record(signed.place).commit == ""


def test_signers_that_are_not_there_let_nothing_pass(signed: Upstream, tmp_path: Path) -> None:
    signed.write("a.yaml", "2", *signing(tmp_path / "ann"))
    Path(signed.said.signers).unlink()
    with pytest.raises(RemoteError, match="signers, the file of allowed signers, is not there"):
        signed.fetch()
    assert not signed.current.exists()


def test_without_ssh_keygen_nothing_passes(signed: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed.write("a.yaml", "2", *signing(tmp_path / "ann"))
    found = shutil.which("git")
    assert found
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RemoteError, match="there is no ssh-keygen here"):
        signed.fetch()
    assert not signed.current.exists()


# --- again and again


def test_it_is_asked_at_the_start_when_told_and_told_what_came_of_it() -> None:
    answers: list[Record | LbError] = [Record("a"), RemoteError("no"), Record("b")]
    came: list[Record | LbError] = []

    def fetch() -> Record:
        answer = answers.pop(0)
        if isinstance(answer, LbError):
            raise answer
        return answer

    wanted, ending = list(answers), Event()
    follower = Follower(fetch, lambda: 3600.0 if len(came) < 2 else 0.01, came.append, ending)
    follower.start()
    follower.first(Event())
    eventually(lambda: len(came) == 1)
    follower.ask()
    eventually(lambda: len(came) == 3 or not answers)
    ending.set()
    follower.stop()
    assert came[:2] == wanted[:2]


def test_failures_are_tried_again_soon_then_later_and_later() -> None:
    assert [pause(60, n) for n in range(5)] == [60, 5, 10, 20, 40]
    assert [pause(1, n) for n in (1, 2, 3, 30)] == [1, 2, 4, 300]
    assert pause(3600, 50) == 300


def test_the_line_that_says_most_is_taken() -> None:
    said = repository._said(
        git.Done(128, "", "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
                          "Please make sure you have the correct access rights\nand the repository exists.\n")
    )  # fmt: skip
    assert said == "git@x: Permission denied (publickey)."
