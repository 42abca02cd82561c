"""Whatever the bytes: a value or an ActrConfigError of one printable line, soon."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actrzmq.errors import ActrConfigError
from actrzmq.manifest import load_broker_settings, load_lock, load_manifest
from tests.manifest.test_load import CLIENT, FULL

LOADERS: list[Callable[[Path], object]] = [load_manifest, load_broker_settings, load_lock]

words = st.sampled_from(
    [
        *"[]{}=.,\n\"'#\\",
        "[[",
        "]]",
        '"""',
        "\x00",
        "\u202e",
        "package",
        "system",
        "acl",
        "rules",
        "dependency",
        "files",
        "path",
        "limits",
        "listen",
        "name",
        "1e999",
        "0x" + "f" * 5000,
        "9" * 5000,
        "nan",
        "1979-05-27T07:32:00Z",
        "true",
        "'../x.proto'",
        '"tcp://127.0.0.1:1"',
        " ",
    ]
)
soup = st.lists(words | st.text(max_size=5), max_size=60).map(lambda parts: "".join(parts).encode())


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A good manifest with one piece replaced."""
    text = draw(st.sampled_from([FULL, CLIENT])).encode()
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(start + 20, len(text))))
    return text[:start] + draw(st.binary(max_size=10) | soup) + text[end:]


@settings(max_examples=300, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | soup | mutations())
@example(content=b"\xff")
@example(content=b"a = " + b"9" * 5000)
def test_any_bytes_give_a_value_or_an_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    for load in LOADERS:
        message = failure_of(load, path)
        assert message.isprintable()
        assert len(message) < 2000


def failure_of(load: Callable[[Path], object], path: Path) -> str:
    try:
        load(path)
    except ActrConfigError as error:
        return str(error)
    return ""


MIB = 1024 * 1024


@pytest.mark.parametrize(
    "content",
    [
        b"a." * (MIB // 2 - 10) + b"a = 1",
        (b"a." * 31 + b"a = 1\n") * (MIB // 70),
        b"[" * MIB,
        b"a = " + b"[" * (MIB - 10),
        b"a = " + b"{a=" * (MIB // 3 - 10),
        b"\"'" * (MIB // 2),
        b'"a".' * (MIB // 4),
        b"a" * MIB,
        b"a-" * (MIB // 2),
        b"[[a]]\n" * (MIB // 6),
        b"".join(b"k%d={}\n" % i for i in range(MIB // 12)),
        b"a = '''" + b"\n" * (MIB - 20),
    ],
    ids=range(12),
)
def test_the_worst_mebibyte_is_refused_in_bounded_time(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    started = time.process_time()
    with pytest.raises(ActrConfigError):
        load_manifest(path)
    assert time.process_time() - started < 5
