"""Run: what the server takes before it loads anything."""

import socket

import pytest

from genre_gen.errors import UsageError
from genre_gen.server import run
from genre_gen.server.settings import ServerSettings


def test_a_port_that_is_taken_is_told_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} cannot be listened on .*give another --port"):
            run.listen(ServerSettings(port=port))
    run.listen(ServerSettings(port=0)).close()
