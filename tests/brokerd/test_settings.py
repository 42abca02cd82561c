"""Arguments win over the environment, that over the file, that over the defaults."""

from pathlib import Path

import pytest

from actrzmq.brokerd.settings import parse_settings
from actrzmq.errors import ActrConfigError


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "broker.toml"
    path.write_text('listen = ["tcp://127.0.0.1:1"]\nstore = "file.db"\nlog_level = "error"\n')
    return str(path)


def test_without_anything_the_defaults_hold() -> None:
    settings = parse_settings([], {})
    assert settings.listen == ("tcp://127.0.0.1:5570",)
    assert settings.log_level == "info"


def test_the_file_wins_over_the_defaults(config: str, tmp_path: Path) -> None:
    settings = parse_settings(["--config", config], {})
    assert settings.listen == ("tcp://127.0.0.1:1",)
    assert settings.store == tmp_path / "file.db"
    assert settings.log_level == "error"


def test_the_environment_wins_over_the_file(config: str) -> None:
    environ = {"ACTRZMQ_BROKER": "tcp://127.0.0.1:2", "ACTRZMQ_STORE": "/e/s.db", "ACTRZMQ_LOG_LEVEL": "DEBUG"}
    settings = parse_settings(["--config", config], environ)
    assert settings.listen == ("tcp://127.0.0.1:2",)
    assert settings.store == Path("/e/s.db")
    assert settings.log_level == "debug"


def test_arguments_win_over_all(config: str) -> None:
    environ = {"ACTRZMQ_BROKER": "nonsense", "ACTRZMQ_STORE": "/e/s.db", "ACTRZMQ_LOG_LEVEL": "nonsense"}
    arguments = ["--config", config, "--listen", "tcp://localhost:3", "--listen", "ipc:///run/x", "--store", "/a/s.db"]
    settings = parse_settings([*arguments, "--relay", "tcp://127.0.0.1:4", "--log-level", "warn"], environ)
    assert settings.listen == ("tcp://127.0.0.1:3", "ipc:///run/x")
    assert settings.relay == "tcp://127.0.0.1:4"
    assert settings.store == Path("/a/s.db")
    assert settings.log_level == "warning"


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--listen", "tcp://0.0.0.0:1"], {}, r"--listen 'tcp://0\.0\.0\.0:1' is not a loopback address"),
        (["--relay", "tcp://*:1"], {}, r"--relay .* is not a loopback address"),
        (["--listen", "nonsense"], {}, r"is not an address such as"),
        (["--log-level", "loud"], {}, r"--log-level 'loud': expected one of debug, info"),
        ([], {"ACTRZMQ_LOG_LEVEL": "loud"}, r"environment: ACTRZMQ_LOG_LEVEL 'loud'"),
        ([], {"ACTRZMQ_BROKER": "tcp://10.0.0.1:1"}, r"ACTRZMQ_BROKER.* is not a loopback address"),
        (["--config", "/nowhere/broker.toml"], {}, r"/nowhere/broker\.toml"),
    ],
)
def test_mistakes_are_refused_in_words_that_say_where(
    arguments: list[str], environ: dict[str, str], words: str
) -> None:
    with pytest.raises(ActrConfigError, match=words):
        parse_settings(arguments, environ)


def test_help_has_an_example_and_version_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    for option, words in (("--help", "example: actrzmq-broker"), ("--version", "actrzmq-broker ")):
        with pytest.raises(SystemExit) as caught:
            parse_settings([option], {})
        assert caught.value.code == 0
        assert words in capsys.readouterr().out
