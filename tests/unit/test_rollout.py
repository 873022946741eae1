"""One action becomes ordered steps; what is compared is the steps as they are printed."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import pytest

from reconciler import rollout
from reconciler.model import Action, Links, Mount, Port, Replica, Service, Update
from tests.support.build import (
    MIB,
    make_action,
    make_recorded,
    make_replica,
    make_revision,
    make_row,
    make_service,
)

PAIR = make_service(replicas=2)
NEW = make_service(replicas=2, image="docker.io/library/nginx:2")
UNCHANGED = {"memory": 0, "mem_reservation": 0, "cpus": 0, "pids_limit": 0, "restart": "unless-stopped"}


def live(service: Service, count: int) -> list[Replica]:
    return [make_replica(make_row(service, n)) for n in range(1, count + 1)]


def check(action: Action, expected: str) -> None:
    assert str(rollout.steps(action)) == textwrap.dedent(expected).strip("\n")


def undo(action: Action) -> list[str]:
    """One line a change, in the order of the changes."""
    return ["; ".join(map(str, c.undo)) for batch in rollout.steps(action).batches for c in batch]


def test_new_replicas_start_side_by_side() -> None:
    action = make_action("create", PAIR, base="")
    check(action, "create 1 new; start 1 new; await 1 new | create 2 new; start 2 new; await 2 new")
    assert undo(action) == ["stop 1 new; remove 1 new", "stop 2 new; remove 2 new"]


def test_unattended_replicas_are_not_waited_for() -> None:
    check(make_action("create", make_service(), base="", unattended=True), "create 1 new; start 1 new")


def test_start_first_stops_an_old_replica_once_its_successor_is_ready() -> None:
    action = make_action("replace", NEW, *live(PAIR, 2), base="")
    check(
        action,
        """
        create 1 new; start 1 new; await 1 new; stop 1 web-1
        create 2 new; start 2 new; await 2 new; stop 2 web-2
        finally remove 2 web-2
        finally remove 1 web-1
        """,
    )
    assert undo(action)[0] == "start 1 web-1; await 1 web-1; stop 1 new; remove 1 new"


def test_stop_first_creates_before_it_stops() -> None:
    """What can't even be created must not cost the old replica."""
    action = make_action("replace", make_service(update=Update(order="stop-first")), *live(PAIR, 1), base="")
    check(
        action,
        """
        create 1 new; stop 1 web-1; start 1 new; await 1 new
        finally remove 1 web-1
        """,
    )
    assert undo(action) == ["stop 1 new; remove 1 new; start 1 web-1; await 1 web-1"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "start-first"),
        ({"ports": (Port(80),)}, "start-first"),
        ({"ports": (Port(80, external=8080),)}, "stop-first"),
        ({"mounts": (Mount("/data", "volume", "data"),)}, "stop-first"),
        ({"mounts": (Mount("/data", "volume", "data", read_only=True),)}, "start-first"),
        ({"mounts": (Mount("/data", "volume", "data"),), "replicas": 2}, "start-first"),
        ({"mounts": (Mount("/etc/x", "bind", "digest", read_only=True),)}, "start-first"),
        ({"mounts": (Mount("/data", "volume", "data"),), "update": Update(order="start-first")}, "start-first"),
        ({"update": Update(order="stop-first")}, "stop-first"),
    ],
)
def test_auto_is_stop_first_where_two_copies_cannot_live_side_by_side(given: dict[str, Any], expected: str) -> None:
    assert rollout.order(make_service(**given)) == expected


def test_parallelism_is_the_width_of_a_batch() -> None:
    service = make_service(replicas=3, update=Update(parallelism=2))
    check(
        make_action("replace", service, *live(service, 3), base=""),
        """
        create 1 new; start 1 new; await 1 new; stop 1 web-1 | create 2 new; start 2 new; await 2 new; stop 2 web-2
        create 3 new; start 3 new; await 3 new; stop 3 web-3
        finally remove 3 web-3
        finally remove 2 web-2
        finally remove 1 web-1
        """,
    )


def test_a_replacement_with_fewer_and_with_more_replicas() -> None:
    check(
        make_action("replace", make_service(replicas=1), *live(PAIR, 2), base=""),
        """
        create 1 new; start 1 new; await 1 new; stop 1 web-1
        finally stop 2 web-2
        finally remove 2 web-2
        finally remove 1 web-1
        """,
    )
    check(
        make_action("replace", PAIR, *live(PAIR, 1), base=""),
        """
        create 2 new; start 2 new; await 2 new
        create 1 new; start 1 new; await 1 new; stop 1 web-1
        finally remove 1 web-1
        """,
    )


@pytest.mark.parametrize(
    ("state", "first"),
    [
        ("running", "await 1 web-1-3; stop 1 web-1"),
        ("created", "start 1 web-1-3; await 1 web-1-3; stop 1 web-1"),
        ("exited", "start 1 web-1-3; await 1 web-1-3; stop 1 web-1"),
        ("paused", "unpause 1 web-1-3; await 1 web-1-3; stop 1 web-1"),
    ],
)
def test_a_rollout_that_was_cut_off_goes_on_where_it_stopped(state: str, first: str) -> None:
    new = make_replica(make_row(NEW, 1, 3, "r1"), state=state)
    check(
        make_action("replace", NEW, *live(PAIR, 2), new, base="r1"),
        f"""
        {first}
        create 2 new; start 2 new; await 2 new; stop 2 web-2
        finally remove 2 web-2
        finally remove 1 web-1
        """,
    )


def test_what_a_cut_off_rollout_made_is_mended_before_it_must_pass_the_gate() -> None:
    """It was pinned when its trial failed for want of an answer, say, and then changed by hand."""
    new = make_replica(
        make_row(NEW, 1, 3, "r1"), state="exited", projection={**UNCHANGED, "restart": "no"}, networks=()
    )
    check(
        make_action("replace", make_service(update=Update(order="stop-first")), *live(PAIR, 1), new, base="r1"),
        """
        stop 1 web-1; update 1 web-1-3; connect 1 web-1-3 shop; start 1 web-1-3; await 1 web-1-3
        finally remove 1 web-1
        """,
    )


def test_a_pin_is_undone_where_the_author_went_back() -> None:
    old = make_service(restart="always")
    pinned = make_replica(make_row(old), state="exited", projection={**UNCHANGED, "restart": "no"})
    check(
        make_action("heal", old, pinned, make_replica(make_row(NEW, 1, 3, "r1"))),
        """
        update 1 web-1; start 1 web-1; await 1 web-1; stop 1 web-1-3
        finally remove 1 web-1-3
        """,
    )


def test_an_old_replica_that_the_cut_off_rollout_stopped_can_still_be_revived() -> None:
    old = make_replica(make_row(PAIR), state="exited")
    new = make_replica(make_row(NEW, 1, 3, "r1"))
    action = make_action("replace", make_service(), old, new, base="r1")
    check(
        action,
        """
        await 1 web-1-3
        finally remove 1 web-1
        """,
    )
    assert undo(action) == ["start 1 web-1; await 1 web-1; stop 1 web-1-3; remove 1 web-1-3"]


def test_a_finished_replica_of_a_cut_off_rollout_still_has_to_pass_the_gate() -> None:
    new = make_replica(make_row(NEW, 1, 3, "r1"))
    check(make_action("replace", make_service(), new, base="r1"), "await 1 web-1-3")


def test_restart_always_is_pinned_before_the_stop() -> None:
    """Else a restart of the engine would revive the old one beside the new."""
    service = make_service(restart="always")
    action = make_action("replace", service, *live(service, 1), base="")
    check(
        action,
        """
        create 1 new; start 1 new; await 1 new; pin 1 web-1 no; stop 1 web-1
        finally remove 1 web-1
        """,
    )
    assert undo(action)[0].startswith("pin 1 web-1 always; start 1 web-1; await 1 web-1")


def test_a_pin_that_a_cut_off_rollout_left_is_undone_too() -> None:
    service = make_service(restart="always")
    for state in ("exited", "running"):
        old = make_replica(make_row(service), state=state, restart_policy="no")
        assert undo(make_action("replace", service, old, base=""))[0].startswith("pin 1 web-1 always; start 1 web-1")


def test_scaling_down_takes_the_highest_first() -> None:
    check(
        make_action("scale", make_service(), *live(PAIR, 3)),
        """
        finally stop 3 web-3
        finally remove 3 web-3
        finally stop 2 web-2
        finally remove 2 web-2
        """,
    )


def test_scaling_up_takes_the_lowest_free_numbers_and_condemns_nothing() -> None:
    action = make_action("scale", make_service(replicas=3), make_replica(make_row(PAIR, 2)))
    check(action, "create 1 new; start 1 new; await 1 new | create 3 new; start 3 new; await 3 new")
    assert not any(change.trial for batch in rollout.steps(action).batches for change in batch)


def test_an_update_in_place() -> None:
    check(make_action("update", PAIR, *live(PAIR, 2), resizes=True), "update 1 web-1 | update 2 web-2")


def test_a_removal() -> None:
    replicas = (*live(PAIR, 2), make_replica(make_row(PAIR, 3), state="exited"))
    check(
        Action("remove", PAIR.ref, replicas=replicas),
        """
        finally remove 3 web-3
        finally stop 2 web-2
        finally remove 2 web-2
        finally stop 1 web-1
        finally remove 1 web-1
        """,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ""),
        ({"state": "exited", "exit_code": 1}, "start 1 web-1; await 1 web-1"),
        ({"state": "paused"}, "unpause 1 web-1"),
        ({"name": "x"}, "rename 1 web-1 shop.web.1-1"),
        ({"projection": {**UNCHANGED, "restart": "no"}}, "update 1 web-1"),
        ({"networks": ()}, "connect 1 web-1 shop"),
        (
            {"state": "paused", "name": "x", "networks": ()},
            "unpause 1 web-1; rename 1 web-1 shop.web.1-1; connect 1 web-1 shop",
        ),
        ({"state": "dead"}, "create 1 new; start 1 new; await 1 new\nfinally remove 1 web-1"),
        (
            {"state": "exited", "networks": ("gone",)},
            "create 1 new; start 1 new; await 1 new\nfinally remove 1 web-1",
        ),
    ],
)
def test_healing_makes_only_the_steps_that_are_needed(given: dict[str, Any], expected: str) -> None:
    check(make_action("heal", make_service(), make_replica(make_row(make_service()), **given)), expected)


def test_a_limit_set_by_hand_where_none_is_wanted_needs_a_new_container() -> None:
    """To the engine 0 means "leave alone": it can't be taken away again."""
    limited = make_replica(make_row(make_service()), projection={**UNCHANGED, "memory": 64 * MIB})
    check(
        make_action("heal", make_service(), limited),
        """
        create 1 new; start 1 new; await 1 new; stop 1 web-1
        finally remove 1 web-1
        """,
    )
    sized = make_service(memory=32 * MIB)
    changed = make_replica(make_row(sized), projection={**UNCHANGED, "memory": 64 * MIB})
    check(make_action("heal", sized, changed), "update 1 web-1")


JOINED = make_service(links=Links(networks=("a", "b")))


def test_a_container_is_connected_to_the_other_networks_before_it_starts() -> None:
    check(
        make_action("create", JOINED),
        """
        create 1 new; connect 1 new a; connect 1 new b; start 1 new; await 1 new
        """,
    )


def test_one_that_was_created_and_not_connected_everywhere_is_carried_on() -> None:
    old = make_replica(make_row(PAIR), networks=("net-shop",))
    new = make_replica(make_row(JOINED, 1, 2, "r1"), state="created", networks=("net-shop", "net-a"))
    check(
        make_action("replace", JOINED, old, new, base="r1"),
        """
        connect 1 web-1-2 b; start 1 web-1-2; await 1 web-1-2; stop 1 web-1
        finally remove 1 web-1
        """,
    )
    check(
        make_action("create", JOINED, new, base="r1"),
        """
        connect 1 web-1-2 b; start 1 web-1-2; await 1 web-1-2
        """,
    )


@pytest.mark.parametrize("key", ["mem_reservation", "pids_limit"])
def test_a_new_limit_set_by_hand_where_none_is_wanted_needs_a_new_container(key: str) -> None:
    limited = make_replica(make_row(make_service()), projection={**UNCHANGED, key: 64 * MIB})
    assert "create 1 new" in str(rollout.steps(make_action("heal", make_service(), limited)))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"links": Links(network_mode="host")}, "stop-first"),
        ({"links": Links(network_mode="none")}, "start-first"),
        ({"mounts": (Mount("/x", "host", "/srv"),)}, "stop-first"),
        ({"mounts": (Mount("/x", "host", "/srv", True),)}, "start-first"),
        ({"mounts": (Mount("/x", "host", "/srv"),), "replicas": 2}, "start-first"),
        ({"mounts": (Mount("/x", "tmpfs", ""),)}, "start-first"),
    ],
)
def test_the_order_where_two_copies_would_meet(spec: dict[str, Any], expected: str) -> None:
    assert rollout.order(make_service(**spec)) == expected


def test_a_limit_that_an_older_lb_did_not_record_replaces_nothing() -> None:
    row = make_row(make_service())
    then = {key: value for key, value in UNCHANGED.items() if key != "pids_limit"}
    older = make_replica(replace(row, projection=then), projection={**UNCHANGED, "pids_limit": 5})
    check(make_action("heal", make_service(), older), "")


def test_of_two_of_one_number_the_running_one_stays() -> None:
    twice = [make_replica(make_row(PAIR, 1, 5)), make_replica(make_row(PAIR, 1), state="exited")]
    check(
        make_action("heal", make_service(), *twice),
        """
        await 1 web-1-5
        finally remove 1 web-1
        """,
    )


def test_what_another_revision_left_is_removed() -> None:
    left = make_replica(make_row(NEW, 1, 3, "r1"), state="exited")
    check(
        make_action("heal", make_service(), *live(PAIR, 1), left),
        """
        await 1 web-1
        finally remove 1 web-1-3
        """,
    )


def tended(*replicas: Replica, **update: Any) -> Action:
    """Revision r1 failed, r0 is the good one."""
    new = make_service(replicas=2, image="docker.io/library/nginx:2", update=Update(**update))
    recorded = make_recorded(PAIR, failed=make_revision(new, 1, status="failed"))
    return make_action("held", new, *replicas, recorded=recorded)


def tried(number: int, attempt: int, state: str, policy: str = "no") -> Replica:
    return make_replica(make_row(NEW, number, attempt, "r1"), state=state, restart_policy=policy)


def test_beside_a_failed_revision_good_replicas_are_mended_without_a_spec() -> None:
    changed = make_replica(
        make_row(PAIR, 1), state="exited", exit_code=1, name="x", projection={**UNCHANGED, "restart": "no", "memory": 9}
    )
    check(
        tended(changed, make_replica(make_row(PAIR, 2), state="paused"), tried(1, 3, "exited")),
        "rename 1 web-1 shop.web.1-1; pin 1 web-1 unless-stopped; start 1 web-1 | unpause 2 web-2",
    )
    check(tended(make_replica(make_row(PAIR), state="dead")), "")


def test_of_what_a_failed_revision_left_one_is_kept_and_does_not_run() -> None:
    check(
        tended(tried(1, 3, "created"), tried(1, 4, "exited"), tried(2, 5, "created")),
        """
        finally remove 2 web-2-5
        finally remove 1 web-1-3
        """,
    )
    check(
        tended(tried(1, 3, "running", "always")),
        """
        finally pin 1 web-1-3 no
        finally stop 1 web-1-3
        """,
    )


def test_beside_a_failed_revision_what_is_too_many_goes() -> None:
    """What an engine finished late, of the good revision."""
    check(
        tended(*live(PAIR, 3), make_replica(make_row(PAIR, 2, 5))),
        """
        finally stop 3 web-3
        finally remove 3 web-3
        finally stop 2 web-2-5
        finally remove 2 web-2-5
        """,
    )


def test_where_nothing_is_rolled_back_what_was_finished_serves_on() -> None:
    old = make_replica(make_row(PAIR, 1), state="exited", exit_code=1)
    check(tended(old, make_replica(make_row(PAIR, 2)), tried(1, 3, "running"), on_failure="stop"), "")


def test_a_service_is_needed() -> None:
    with pytest.raises(ValueError, match="carries no service"):
        rollout.steps(Action("replace", PAIR.ref))


def test_taking_back_makes_the_good_ones_and_keeps_one_that_failed() -> None:
    new = make_service(replicas=2, image="docker.io/library/nginx:2")
    recorded = make_recorded(PAIR, failed=make_revision(new, 1, status="failed"))
    bad = [tried(n, n + 2, "running", "unless-stopped") for n in (1, 2)]
    check(
        make_action("take-back", PAIR, *bad, recorded=recorded),
        """
        create 1 new; start 1 new; await 1 new; stop 1 web-1-3
        create 2 new; start 2 new; await 2 new; stop 2 web-2-4
        finally pin 2 web-2-4 no
        finally remove 1 web-1-3
        """,
    )
