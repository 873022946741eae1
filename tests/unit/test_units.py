"""Whatever is written for a size, a duration, a port or an image: one canonical value, or what to write instead.

What a value becomes, written out again, becomes the same; no error is Python's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.manifests import units
from reconciler.model import Port

_PYTHONS = ("invalid literal", "Exceeds the limit", "could not convert", "unpack", "Conversion", "NaN", "Infinity")
LONG = "9" * 5000
# Bits of what is looked for, in any order, and any text at all.
_TEXTS = st.text(max_size=12) | st.lists(
    st.sampled_from([*"0159.:/-@[] +_", "m", "g", "ms", "h", "s", "tcp", "udp", "80", "1.5", "٣", "²", "1e9", "redis",
                     "localhost", "::1", "127.0.0.1", "sha256:" + "0" * 64, "Mi", "kb", "\n"]),
    max_size=6,
).map("".join)  # fmt: skip
_NUMBERS = st.integers(-2, 2**70)
_LARGEST = 2**63 - 1


def tried(convert: Callable[[Any], Any], value: Any) -> Any:
    """The value, None where it is refused with words of our own."""
    try:
        return convert(value)
    except ValueError as error:
        assert error.args and all(isinstance(text, str) and text for text in error.args)
        foreign = [words for words in _PYTHONS if words not in str(value)]  # a value is repeated, whatever it says
        assert not any(words in text for text in error.args for words in foreign), error
        return None


@settings(deadline=None)
@given(_TEXTS | _NUMBERS)
@example("1.5g")
@example("0.0000001t")
@example(f"{LONG}g")
@example(f"{LONG}.{LONG}")
@example("12 kb")
@example("٣m")
def test_sizes(value: str | int) -> None:
    for convert in (units.memory, units.size, units.reservation):
        found = tried(convert, value)
        if found is not None:
            assert isinstance(found, int) and 0 < found <= _LARGEST
            assert convert(f"{found}b") == found


@settings(deadline=None)
@given(_TEXTS)
@example("1h30m1.5s2ms3us")
@example("0s")
@example("1.5us")
@example(f"{LONG}h")
@example("1s\n")
@example("٣s")
def test_durations(value: str) -> None:
    found = tried(units.duration, value)
    if found is not None:
        assert isinstance(found, int) and 0 <= found <= _LARGEST
        micros, rest = divmod(found, 1000)
        assert units.duration(f"{micros}.{rest:03d}us") == found


@settings(deadline=None)
@given(_TEXTS | st.integers(-2, 70000) | st.floats())
@example("1e999999999")
@example("1e99999")
@example("1e-999999999")
@example("-1e999999999")
@example("nan")
@example("sNaN")
@example("-inf")
@example("٣m")
@example(f"{LONG}m")
def test_cpus(value: str | float) -> None:
    found = tried(units.cpus, value)
    if found is not None:
        assert isinstance(found, int) and 10_000_000 <= found <= _LARGEST
        assert units.cpus(f"{found // 10**9}.{found % 10**9:09d}") == found


def short(port: Port) -> str:
    address = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    external = "" if port.external is None else str(port.external)
    head = f"{address}:{external}:" if address else f"{external}:" if external else ""
    return f"{head}{port.internal}/{port.protocol}"


@settings(deadline=None)
@given(_TEXTS | st.integers(-2, 70000))
@example("127.0.0.1::80")
@example("[::1]:8080:80/udp")
@example("[:::]:1:1")
@example("53:53/UDP")
@example("999.1.1.1:1:1")
@example(f"{LONG}:80")
@example(LONG)
@example("80/tcp\n")
@example("٣")
def test_ports(value: str | int) -> None:
    found = tried(units.port, value)
    if found is not None:
        assert 0 < found.internal < 65536 and found.protocol in ("tcp", "udp")
        assert units.port(short(found)) == found


@settings(deadline=None)
@given(_TEXTS)
@example("docker.io/redis")
@example("index.docker.io/library/redis:7")
@example("docker.io/docker.io/redis")
@example("docker.io")
@example("localhost/redis")
@example("localhost:5000/redis@sha256:" + "0" * 64)
@example("a.b/c/d:e")
@example("[::1]:5000/redis")
@example("Acme/redis")
@example("redis:7\n")
def test_images(value: str) -> None:
    found = tried(units.image, value)
    if found is not None:
        assert units.image(found) == found
        first, slash, rest = found.partition("/")
        assert slash and rest and ("." in first or ":" in first or first == "localhost")
        assert ":" in rest


@settings(deadline=None)
@given(_TEXTS)
@example("a=b=c")
@example("db.example:[::1]")
@example("x:host-gateway")
def test_names_of_hosts_addresses_devices_and_modes(value: str) -> None:
    entry = tried(units.host_entry, value)
    if entry is not None:
        assert units.host_entry("=".join(entry)) == entry
    address = tried(units.address, value)
    assert address is None or units.address(address) == address
    device = tried(units.device, value)
    if device is not None:
        assert units.device(f"{device.host}:{device.container}:{device.permissions}") == device
    capability = tried(units.capability, value)
    assert capability is None or units.capability(capability) == capability
    mode = tried(units.mode, value)
    assert mode is None or units.mode(mode) == mode


@pytest.mark.parametrize("convert", [units.memory, units.size, units.duration, units.cpus, units.port, units.image])
def test_nothing_is_no_value(convert: Callable[[Any], Any]) -> None:
    assert tried(convert, "") is None


def test_a_protocol_in_large_letters_is_the_same_as_compose_has_it() -> None:
    assert units.port("53:53/UDP") == Port(53, "udp", 53)


@pytest.mark.parametrize("value", ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-14"])
def test_a_signal_stays_as_it_is_written(value: str) -> None:
    assert units.signal(value) == value


@pytest.mark.parametrize("value", ["", "0", "65", "SIG", "RTMIN+16", "SIGTERM\n", "٩"])
def test_what_is_no_signal(value: str) -> None:
    with pytest.raises(ValueError, match="is no signal"):
        units.signal(value)
