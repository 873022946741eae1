"""A volume that exists and is not the recorded one is used only when a person says so."""

from __future__ import annotations

from dataclasses import replace

from reconciler import plan
from reconciler.model import Mount, RecordedVolume, Volume
from tests.support.build import empty, make_service


def test_an_unrecorded_volume_is_a_guard_and_a_recorded_one_is_none() -> None:
    service = make_service(mounts=(Mount("/data", "volume", "data"),))
    world = empty().wants(service)
    found = Volume("lb.shop.data", {"lb.namespace": "shop"}, "2026-01-01T00:00:00Z")
    observed = replace(world.observed, volumes=(found,))
    guarded = plan.make(world.desired, world.recorded, observed)
    assert [guard.kind for guard in guarded.guards] == ["adoption"]
    assert [a.ref.name for a in plan.allowed(guarded).actions] == [""]
    adopted = plan.make(world.desired, world.recorded, observed, plan.Answers(adopt=True))
    assert not adopted.guards and adopted.actions[1].claims == (found,)
    known = replace(world.recorded, volumes={found.name: RecordedVolume(found.name, "shop", found.created)})
    assert not plan.make(world.desired, known, observed).guards
