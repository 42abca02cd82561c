"""A project to generate in, for each test its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.codegen.projects import Project
from tests.codegen.protos import STREAM_CLIENT, STREAM_SERVER


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def server(project: Project) -> Project:
    """The server of stream-echo."""
    project.write("protos/local/stream_server.proto", STREAM_SERVER)
    project.write(
        "Actr.toml",
        'exports = ["protos/local/stream_server.proto"]\n[package]\nname = "stream-register-server-python"\n'
        '[actr_type]\nmanufacturer = "acme"\nname = "StreamEchoServer"\n',
    )
    return project


@pytest.fixture
def client(project: Project) -> Project:
    """The client of stream-echo."""
    project.write("protos/local/stream_client.proto", STREAM_CLIENT)
    project.write("protos/remote/stream-register-server-python/stream_server.proto", STREAM_SERVER)
    project.write(
        "Actr.toml",
        '[dependencies]\nstream-register-server-python = { actr_type = "acme+StreamEchoServer" }\n'
        '[package]\nname = "stream-register-client-python"\n'
        '[actr_type]\nmanufacturer = "acme"\nname = "StreamEchoClient"\n',
    )
    return project
