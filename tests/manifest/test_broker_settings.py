"""broker.toml: defaults, overrides, and what is refused."""

import re
from pathlib import Path

import pytest

from actrzmq.errors import ActrConfigError
from actrzmq.manifest import BrokerLimits, BrokerSettings, load_broker_settings

REPOSITORY = Path(__file__).parents[2]


def load(folder: Path, text: str, environ: dict[str, str] | None = None) -> BrokerSettings:
    path = folder / "broker.toml"
    path.write_text(text)
    return load_broker_settings(path, environ or {})


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    settings = load_broker_settings(None, {"XDG_STATE_HOME": str(tmp_path)})
    assert settings == BrokerSettings(path=None, store=tmp_path / "actrzmq" / "broker.db")
    assert settings.listen == ("tcp://127.0.0.1:5570",)


def test_a_relative_state_folder_is_ignored() -> None:
    settings = load_broker_settings(None, {"XDG_STATE_HOME": "x"})
    assert settings.store == Path.home() / ".local/state/actrzmq/broker.db"


def test_the_shipped_file_shows_the_defaults_and_changes_only_where_the_store_is(tmp_path: Path) -> None:
    shipped = (REPOSITORY / "conf" / "broker.toml").read_text()
    shown = re.sub(r"^# (\w+ = )", r"\1", shipped, flags=re.MULTILINE)
    assert shown.count(" = ") == 11
    (folder := tmp_path / "conf").mkdir()
    settings = BrokerSettings(path=folder / "broker.toml", store=tmp_path / "run" / "broker.db")
    assert load(folder, shipped) == load(folder, shown) == settings


def test_a_backlog_that_holds_one_body_and_what_goes_along_with_it_is_taken(tmp_path: Path) -> None:
    assert load(tmp_path, "[limits]\nbody_bytes = 2048\nbacklog_bytes = 2099200").limits.backlog_bytes == 2099200


def test_a_store_that_is_not_given_is_in_run_beside_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "").store == tmp_path / "run" / "broker.db"


def test_every_key_arrives_in_the_model(tmp_path: Path) -> None:
    text = """listen = ["tcp://localhost:*", "ipc:///tmp/x"]
relay = "tcp://[::1]:7"
lease_ms = 5000
renew_ms = 500
store = "../s.db"
log_level = "debug"
[limits]
body_bytes = 2048
nodes = 5
backlog_bytes = 3000000
relayed_bytes = 4000000
contracts_bytes = 100000
"""
    assert load(tmp_path, text) == BrokerSettings(
        path=tmp_path / "broker.toml",
        listen=("tcp://127.0.0.1:*", "ipc:///tmp/x"),
        relay="tcp://[::1]:7",
        lease_ms=5000,
        renew_ms=500,
        store=tmp_path.parent / "s.db",
        log_level="debug",
        limits=BrokerLimits(
            body_bytes=2048, nodes=5, backlog_bytes=3000000, relayed_bytes=4000000, contracts_bytes=100000
        ),
    )


def test_the_environment_overrides_where_it_listens(tmp_path: Path) -> None:
    text = 'listen = ["tcp://127.0.0.1:1"]'
    environ = {"ACTRZMQ_BROKER": "tcp://127.0.0.1:2"}
    assert load(tmp_path, text, environ).listen == ("tcp://127.0.0.1:2",)
    assert load_broker_settings(None, environ).listen == ("tcp://127.0.0.1:2",)
    with pytest.raises(ActrConfigError, match=r"environment: ACTRZMQ_BROKER='tcp://0\.0\.0\.0:2' is not a loopback"):
        load(tmp_path, text, {"ACTRZMQ_BROKER": "tcp://0.0.0.0:2"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lisen = []", "unknown key lisen; did you mean listen?"),
        ("[limits]\nnode = 1", "unknown key limits.node; did you mean limits.nodes?"),
        ('listen = "tcp://127.0.0.1:1"', "listen: expected a list of strings"),
        ("listen = []", "listen: expected one or more addresses"),
        ('listen = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:1"]', "each once"),
        ('listen = ["tcp://*:5570"]', "is not a loopback address, and the broker has no encryption yet"),
        ('listen = ["tcp://10.0.0.1:5570"]', "is not a loopback address"),
        ('listen = ["tcp://example.org:5570"]', "is not a loopback address"),
        ('listen = ["udp://127.0.0.1:5570"]', "listen[0]: expected a loopback address or ipc path"),
        ('listen = ["tcp://127.0.0.1:70000"]', "is not an address such as"),
        (f'listen = ["ipc:///{"x" * 200}"]', "is longer than the 100 bytes"),
        ('relay = "tcp://0.0.0.0:*"', "relay: expected a loopback address"),
        ("lease_ms = 1000\nrenew_ms = 900", "renew_ms: expected at most half of lease_ms, 500, found 900"),
        ('store = ""', "store: expected the path of a file"),
        (
            "[limits]\nbody_bytes = 16777216",
            "limits.backlog_bytes: expected at least 18874368, which is limits.body_bytes and 2 MiB for what goes "
            "along with such a body, found the default, 16777216",
        ),
        (
            "[limits]\nbody_bytes = 2048\nbacklog_bytes = 2099199",
            "limits.backlog_bytes: expected at least 2099200, which is limits.body_bytes and 2 MiB",
        ),
        ("[limits]\nrelayed_bytes = 268435457", "limits.relayed_bytes: expected a whole number from 0 to 268435456"),
        ("[limits]\nnodes = 0", "limits.nodes: expected a whole number from 1 to 1000000, found 0"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ActrConfigError) as raised:
        load(tmp_path, text)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path}/broker.toml: ")
