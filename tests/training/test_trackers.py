"""Trackers, each against the real package in its offline mode, read back from what it wrote."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from genre_gen.errors import ConfigError, MissingPackageError
from genre_gen.training.trackers import NoTracker, TensorBoard, TrackedRun, make_tracker
from tests.training.tracked import READERS

ROOT = Path(__file__).parents[2]
FIRST, SECOND = {"loss/next_item": 2.5, "ndcg@10": 0.25}, {"loss/next_item": 1.5, "ndcg@10": 0.5}
RESULTS = {"validation/best_ndcg@10": 0.5, "blend/llm": 0.75}
RUN = TrackedRun(
    "20260101-000000-abcdef", "movies", {"training.epochs": 3, "x.names": ["a", "b"]}, {"domain": "movies"}
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["tensorboard", "wandb", "mlflow"])
def name(request):
    pytest.importorskip(request.param)
    return request.param


def begun(name, folder, run=RUN):
    tracker = make_tracker(name, folder)
    tracker.start(run)
    return tracker


def at(name):
    """Return a figure's name as a tracker has it."""
    return {"mlflow": lambda figure: figure.replace("@", "_at_")}.get(name, lambda figure: figure)


def test_a_run_has_curves_settings_tags_and_results(name, tmp_path, with_tables):
    folder = tmp_path / "movies"
    with_tables(name, folder)
    tracker = begun(name, folder)
    tracker.log(FIRST, 3)
    tracker.log(SECOND, 7)
    tracker.finish("finished", RESULTS)
    (run,) = READERS[name](folder)
    assert run.curves == {
        "loss/next_item": [(3, 2.5), (7, 1.5)],
        at(name)("ndcg@10"): [(3, 0.25), (7, 0.5)],
    }
    assert run.results == {at(name)(figure): value for figure, value in RESULTS.items()}
    assert str(run.settings["training.epochs"]) == "3"
    assert "a" in str(run.settings["x.names"])
    assert run.tags["domain"] == "movies"
    assert run.status == "finished"


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_a_run_that_fails_is_marked_and_continues_as_the_same_one(name, status, tmp_path, monkeypatch, with_tables):
    place = [tmp_path]
    with_tables(name, tmp_path / "elsewhere")
    if name == "mlflow":  # in a database elsewhere, and in an experiment of another name
        place.append(f"sqlite:///{tmp_path}/elsewhere/mlflow.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", place[-1])
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", status)
    run = TrackedRun(f"{RUN.id}-{status}", RUN.name, RUN.settings, RUN.tags)
    tracker = begun(name, tmp_path, run)
    tracker.log(FIRST, 3)
    tracker.finish(status, {})
    (before,) = READERS[name](*place)
    assert before.status == status
    assert not before.results
    more = TrackedRun(run.id, run.name, {**run.settings, "training.epochs": 5}, run.tags, step=3)
    if name == "wandb":
        time.sleep(1.1)  # it names its files by the second
    tracker = begun(name, tmp_path, more)
    tracker.log(SECOND, 7)
    tracker.finish("finished", RESULTS)
    (after,) = READERS[name](*place)
    assert name != "mlflow" or after.tags["genre_run"] == run.id
    assert after.curves["loss/next_item"] == [(3, 2.5), (7, 1.5)]
    assert after.status == "finished"
    changed = after.tags["resumed_with.training.epochs"] if name == "mlflow" else after.settings["training.epochs"]
    assert str(changed) == "5"


def test_what_tensorboard_shows_ends_where_a_killed_run_is_known_to_have_been(tmp_path):
    pytest.importorskip("tensorboard")
    tracker = begun("tensorboard", tmp_path)
    for step in (3, 7, 9):
        tracker.log(FIRST, step)
    tracker._writer.close()  # killed: 9 was written, but not kept
    tracker = begun("tensorboard", tmp_path, TrackedRun(RUN.id, RUN.name, step=7))
    tracker.log(SECOND, 9)
    tracker.finish("finished", {})
    (run,) = READERS["tensorboard"](tmp_path)
    assert run.curves["loss/next_item"] == [(3, 2.5), (7, 2.5), (9, 1.5)]


PROGRAM = """
import socket, sys
from pathlib import Path

connect = socket.socket.connect
def loopback_only(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        print("asked for", address)
        raise OSError("no network")
    return connect(self, address)
socket.socket.connect = loopback_only
getaddrinfo = socket.getaddrinfo
def names(host, *rest, **options):
    if host not in (None, "", "127.0.0.1", "::1", "localhost", socket.gethostname()):
        print("asked for", host)
    return getaddrinfo(host, *rest, **options)
socket.getaddrinfo = names

from genre_gen.training.trackers import TrackedRun, make_tracker
tracker = make_tracker(sys.argv[1], Path(sys.argv[2]))
tracker.start(TrackedRun("one", "movies", {"training.epochs": 3}, {"domain": "movies"}))
tracker.log({"loss/next_item": 1.0}, 1)
tracker.finish("finished", {"blend/llm": 1.0})
"""


@pytest.fixture
def proxy():
    """Return the address of a proxy that lets nothing through, and what was asked of it."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    asked.append(connection.recv(200))
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked


def test_nothing_asks_the_network_for_anything_and_nothing_is_said(name, tmp_path, proxy):
    address, asked = proxy
    ci = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "NO_PROXY", "no_proxy")  # by which MLflow spares tests
    environment = {key: value for key, value in os.environ.items() if key not in ci and key[:6] != "WANDB_"}
    environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), address)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment |= dict.fromkeys(("USER", "LOGNAME", "USERNAME"), "somebody-unlikely")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(tmp_path / "run"), "--user=secret-unlikely"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"training.epochs" in written
    assert b"unlikely" not in written  # neither the person nor the command
    assert str(ROOT).encode() not in written


@pytest.mark.parametrize(("name", "extra"), [("tensorboard", "track"), ("wandb", "wandb"), ("mlflow", "mlflow")])
def test_a_missing_package_is_told_with_what_installs_it(monkeypatch, tmp_path, name, extra):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError) as told:
        make_tracker(name, tmp_path)
    assert f'training.tracker = "{name}" need the package {name}' in str(told.value)
    assert str(told.value).endswith(f"install it: pip install 'genre-gen[{extra}]'")


def test_auto_takes_tensorboard_where_it_is_installed(monkeypatch, tmp_path, caplog):
    pytest.importorskip("tensorboard")
    caplog.set_level("INFO")
    for spec, kind in ((SimpleNamespace(), TensorBoard), (None, NoTracker)):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _, spec=spec: spec)
        assert isinstance(make_tracker("auto", tmp_path), kind)
        assert ("pip install 'genre-gen[track]'" in caplog.text) == (spec is None)
    with pytest.raises(ConfigError, match="no tracker 'board', did you mean 'tensorboard'"):
        make_tracker("board", tmp_path)
    assert isinstance(make_tracker("tensorboard", None), NoTracker)
