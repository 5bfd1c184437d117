"""Reading back what trackers wrote, with each package's own reader where it has one."""

import json
import struct
import time
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Read:
    """A run: figure -> (step, value) in order, settings, tags, results, how it ended, and what else is known of it."""

    curves: dict = field(default_factory=lambda: defaultdict(list))
    settings: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    status: str = ""


def tensorboard(folder):
    """Read all runs below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    runs = []
    for place in sorted((folder / "tensorboard").iterdir()):
        events = EventAccumulator(str(place)).Reload()
        read = Read()
        for tag in events.Tags()["scalars"]:
            read.curves[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["tensors"]:
            text = events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
            if tag.startswith("status"):
                read.status = text
            else:
                rows = [line.strip("| ").split(" | ", 1) for line in text.split("\n")[2:]]
                getattr(read, tag.partition("/")[0]).update(dict(rows))
        for content in events.summary_metadata.values():
            data = plugin_data_pb2.HParamsPluginData.FromString(content.plugin_data.content)
            if data.HasField("session_end_info"):
                read.results = {tag: read.curves.pop(tag)[-1][1] for tag in list(read.curves) if _result(tag)}
        runs.append(read)
    return runs


def wandb(folder):
    """Read all runs below a folder; what belongs to one run may lie in several files."""
    runs = defaultdict(Read)
    for file in sorted(folder.rglob("*.wandb")):
        read = runs[file.stem]
        for record in _finished(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                read.settings |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
                read.tags |= dict(tag.split(":", 1) for tag in record.run.tags)
            elif kind == "history":
                items = {_name(item): json.loads(item.value_json) for item in record.history.item}
                step = items.pop("_step", record.history.step.num)
                for name, value in items.items():
                    if not name.startswith("_"):
                        read.curves[name].append((step, value))
            elif kind == "summary":
                items = {_name(item): json.loads(item.value_json) for item in record.summary.update}
                read.results |= {name: value for name, value in items.items() if _result(name)}
            elif kind == "exit":
                read.status = {0: "finished", 1: "failed", 130: "killed"}[record.exit.exit_code]
    return list(runs.values())


def mlflow(folder, uri=None):
    """Read all runs of a database, the default one of a folder."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri or f"sqlite:///{folder}/mlflow.db")
    runs = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            read = Read(settings=run.data.params, tags=run.data.tags, status=run.info.status.lower())
            for name in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, name)
                read.curves[name] = [(metric.step, metric.value) for metric in history]
            read.results = {name: read.curves.pop(name)[-1][1] for name in list(read.curves) if _result(name)}
            runs.append(read)
    return runs


READERS = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow}


def _result(name):
    return name.startswith(("validation/", "blend/", "seconds/"))


def _name(item):
    return item.key or "/".join(item.nested_key)


def _finished(file, seconds=30):
    """Return the records of a log once the last is there; another process writes them."""
    from wandb.proto import wandb_internal_pb2

    until = time.monotonic() + seconds
    while True:
        records = [wandb_internal_pb2.Record.FromString(content) for content in _records(file.read_bytes())]
        if any(record.HasField("exit") for record in records) or time.monotonic() > until:
            return records
        time.sleep(0.1)


def _records(content):
    """Yield the records of a log of wandb, which are laid out as LevelDB's: blocks of 32 KB, each record in pieces."""
    assert content[:4] in {b"", b":W&B"}
    place, whole = 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:  # what is left of a block holds no header
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last piece
            yield whole
            whole = b""
