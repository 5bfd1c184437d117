"""Files of picks when something goes wrong: another model, another process, a damaged part, a full disk."""

import copy
import errno
import json
import os
import pathlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from fakes import altered

from genre_gen import Recommender, Request
from genre_gen.collaborative import RatingBlend
from genre_gen.data.interactions import Interactions
from genre_gen.errors import CheckpointError, GenreGenError, OutputError
from genre_gen.evaluation.picks import read_picks
from genre_gen.prompting.book import PromptBook
from genre_gen.recommender.answering import answer_many
from genre_gen.recommender.batch import write_picks

USERS = ["17", "4", "3", "5", "9"]


def write(recommender, out, users=USERS, n=3, **options):
    return write_picks(recommender.state, users, Request(n=n, **options), out, progress=False)


class Killed(BaseException):
    """Stands for a kill signal."""


@pytest.fixture
def killed(mixed, tmp_path, monkeypatch):
    """Return a file whose writing was killed after three users, and its unfinished part."""

    def mortal(state, requests):
        for number, picks in enumerate(answer_many(state, requests)):
            if number == 3:
                raise Killed
            yield picks

    with monkeypatch.context() as patch:
        patch.setattr("genre_gen.recommender.batch.answer_many", mortal)
        with pytest.raises(Killed):
            write(mixed, tmp_path / "a.jsonl")
    return tmp_path / "a.jsonl", tmp_path / "a.jsonl.part"


def changed_weight(state, name):
    llm = copy.deepcopy(state.llm)
    assert llm.base  # loaded now, so that there is a weight to change
    with torch.no_grad():
        parameter = dict(llm.named_parameters())[next(key for key, _ in llm.named_parameters() if name in key)]
        parameter += 1
    return replace(state, llm=llm)


def changed_array(state, kind, name, array):
    model = copy.copy(getattr(state, kind)[name])
    changed = copy.copy(getattr(model, array))
    values = changed.data if hasattr(changed, "indptr") else changed
    changed = changed.copy()
    (changed.data if hasattr(changed, "indptr") else changed).reshape(-1)[0] = values.reshape(-1)[0] + 1
    setattr(model, array, changed)
    return replace(state, **{kind: {**getattr(state, kind), name: model}})


def changed_ease(state):
    model = copy.copy(state.members["ease"])
    arrays = model.arrays()
    arrays["lower"][0] += 1
    changed = type(model).from_arrays(arrays, model.settings())
    return replace(state, members={**state.members, "ease": changed})


def changed_setting(state, name, key, value):
    model = copy.copy(state.members[name])
    setattr(model, key, value)
    return replace(state, members={**state.members, name: model})


def changed_templates(state, folder):
    state.book.save(folder)
    (folder / "next_item.user.jinja").write_text("Other words. {{ history|length }}")
    return replace(state, book=PromptBook(folder))


def changed_log(log, **arrays):
    parts = {"users": log.users, "offsets": log.offsets, "rows": log.rows, "ratings": log.ratings, "times": log.times}
    return Interactions(n_items=log.n_items, **{**parts, **arrays})


def changed_knowledge(state):
    knowledge = copy.copy(state.knowledge)
    object.__setattr__(knowledge, "entities", tuple(f"{name}!" for name in knowledge.entities))
    return replace(state, knowledge=knowledge)


def with_tuned(state, **changes):
    return replace(state, tuned=replace(state.tuned, **changes))


CHANGES = {
    **{
        name: lambda state, _, name=name: changed_weight(state, name)
        for name in ("code_embedding", "item_backbone.layers.0", "item_backbone.norm", "lora_A", "lora_B",
                     "answer_heads", "embed_tokens", "input_layernorm")
    },
    "ease": lambda state, _: changed_ease(state),
    "transitions": lambda state, _: changed_array(state, "members", "sequential_rules", "rules"),
    "popularity": lambda state, _: changed_array(state, "members", "popularity", "log_counts"),
    "rater": lambda state, _: changed_array(state, "rating_models", "svd", "item_factors"),
    "recency": lambda state, _: changed_setting(state, "ease", "recency", 0.5),
    "member": lambda state, _: replace(state, members={k: v for k, v in state.members.items() if k != "ease"}),
    "rating blend": lambda state, _: with_tuned(state, ratings=RatingBlend({"svd": 1.0}, 0.5, (1, 5))),
    "other blend": lambda state, _: with_tuned(state, blend_without_llm=state.blend),
    "templates": changed_templates,
    "knowledge": lambda state, _: changed_knowledge(state),
    "no knowledge": lambda state, _: replace(state, knowledge=None),
    "rules": lambda state, _: replace(state, domain=state.domain.changed({"rules.at_most": {"genre": 2}})),
    "language": lambda state, _: replace(state, domain=state.domain.changed({"noun": "picture"})),
    "served": lambda state, _: replace(state, domain=state.domain.changed({"serving.quantization": "int8"})),
    "users": lambda state, _: replace(
        state, histories=changed_log(state.histories, users=["x", *state.histories.users[1:]])
    ),
    "ratings": lambda state, _: replace(
        state, histories=changed_log(state.histories, ratings=np.ones(len(state.histories), np.float32))
    ),
    "times": lambda state, _: replace(state, histories=changed_log(state.histories, times=state.histories.times + 1)),
    "trained on": lambda state, _: replace(state, trained_on=state.histories),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_the_fingerprint_covers_what_answers_depend_on(mixed, tmp_path, name):
    other = CHANGES[name](mixed.state, tmp_path)
    assert other.fingerprint() != mixed.state.fingerprint()


def test_a_changed_item_backbone_starts_from_the_beginning(mixed, killed, caplog):
    out, _ = killed
    other = Recommender.from_state(changed_weight(mixed.state, "item_backbone.layers.0"))
    write(other, out)
    assert "is of another request" in caplog.text
    assert "going on" not in caplog.text
    expected = [pick.item.id for user in USERS for pick in other.recommend(user, n=3)]
    assert read_picks(out)["item_id"].to_list() == expected


def test_a_quantized_model_has_the_fingerprint_of_its_weights(saved, mixed):
    served = [
        Recommender.from_pretrained(saved, quantization=scheme).state for scheme in ("bf16", "int8", "int8", "nf4")
    ]
    prints = [state.fingerprint() for state in served]
    assert prints[1] == prints[2]
    assert len({*prints, Recommender.from_pretrained(saved).state.fingerprint()}) == 4
    other = copy.deepcopy(mixed.state.llm)
    with torch.no_grad():
        dict(other.named_parameters())["item_backbone.layers.0.self_attn.q_proj.weight"].view(-1)[0] += 1
    from genre_gen.llm.quantize import quantize

    quantize(other, "int8")
    same = replace(served[1], domain=mixed.state.domain)
    assert replace(same, llm=other).fingerprint() != same.fingerprint()


def test_the_fingerprint_is_computed_once(mixed, monkeypatch):
    state = mixed.state
    first = state.fingerprint()
    monkeypatch.setattr("genre_gen.llm.fingerprint.model_fingerprint", None)
    assert state.fingerprint() == first


GARBAGE = [
    b"", b"\0" * 50, b"{", b"[]", b"7", b'"x"', b"null", b'{"user": "3"}', b'{"user": 3, "picks": []}',
    b'{"user": "3", "picks": []}',
    b'{"user": "3", "picks": 5}', b'{"user": "3", "picks": [5]}', b'{"user": "3", "picks": [{"item_id": 5}]}',
    b'{"user": "3", "picks": [{"item_id": "5", "rank": "1"}]}', b'{"user": "3", "picks": [{"evil": 1}]}',
    b'{"user": "3", "picks": [{"rank": 99999999999999999999}]}', b'{"user": ["3"], "picks": [{"rank": 1}]}',
    b'{"user": "3", "picks": [{"note": null}], "more": 1}', b"\xff\xfe", b"[" * 100_000,
    b'{"user": "3", "picks": [{"score": "high"}]}', b'{"user": "3", "picks": [{"score": ' + b"9" * 5000 + b"}]}",
]  # fmt: skip


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("place", [0, 2])
def test_a_damaged_line_is_said_and_asked_again(mixed, killed, tmp_path, caplog, line, place):
    out, part = killed
    lines = part.read_bytes().split(b"\n")
    lines[place] = line
    part.write_bytes(b"\n".join(lines))
    write(mixed, out)
    said = [record.message for record in caplog.records if "damaged" in record.message]
    assert len(said) == 1
    assert "\n" not in said[0]
    assert not part.exists()
    expected = [(user, pick.item.id) for user in USERS for pick in mixed.recommend(user, n=3)]
    assert read_picks(out).select("user_id", "item_id").rows() == expected


@pytest.mark.parametrize("cut", range(1, 400, 37))
def test_a_part_that_is_cut_anywhere(mixed, killed, cut):
    out, part = killed
    part.write_bytes(part.read_bytes()[:-cut])
    write(mixed, out)
    assert read_picks(out)["user_id"].unique(maintain_order=True).to_list() == USERS


def test_a_user_who_is_there_twice_is_asked_again(mixed, killed, caplog):
    out, part = killed
    lines = part.read_bytes().split(b"\n")
    part.write_bytes(b"\n".join([*lines[:2], lines[1], *lines[2:]]))
    write(mixed, out)
    assert "damaged in line 3" in caplog.text
    assert len(read_picks(out)) == 3 * len(USERS)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.part"])
def test_a_folder_where_a_file_is_to_be(mixed, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="cannot be written") as error:
        write(mixed, tmp_path / "a.jsonl")
    assert "\n" not in str(error.value)
    (tmp_path / name).rmdir()
    assert write(mixed, tmp_path / "a.jsonl") == len(USERS)


HOLDER = """
import sys, time
from pathlib import Path
from genre_gen import Recommender, Request
from genre_gen.recommender import batch

ask = batch.answer_many

def slow(state, requests):
    for picks in ask(state, requests):
        print("writing", flush=True)
        yield picks
        time.sleep(float(sys.argv[3]))

batch.answer_many = slow
state = Recommender.from_pretrained(sys.argv[1]).state
batch.write_picks(state, sys.argv[4:], Request(n=3), Path(sys.argv[2]), progress=False)
"""


def another_process(run, out, seconds):
    """Start a process that writes picks, slowly; return it when it has begun."""
    command = [sys.executable, "-c", HOLDER, str(run), str(out), str(seconds), *USERS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


def test_two_processes_do_not_write_one_file(saved, tmp_path):
    recommender, out = Recommender.from_pretrained(saved), tmp_path / "a.jsonl"
    process = another_process(saved, out, 0.4)
    with pytest.raises(CheckpointError, match="another process or thread is writing there; wait until it is done") as e:
        write(recommender, out)
    assert "\n" not in str(e.value)
    assert write(recommender, tmp_path / "b.jsonl") == len(USERS)  # another place
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert read_picks(out).rows() == read_picks(tmp_path / "b.jsonl").rows()
    assert write(recommender, out, n=4) == len(USERS)  # it is done


def test_a_process_that_is_killed_holds_nothing(saved, tmp_path):
    out = tmp_path / "a.jsonl"
    process = another_process(saved, out, 60)
    process.kill()
    process.communicate()
    assert write(Recommender.from_pretrained(saved), out) == len(USERS)


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_full_disk_is_one_line_and_loses_nothing(mixed, tmp_path, monkeypatch, caplog, name):
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", full)
        patch.setattr(pl.DataFrame, "write_ndjson", full)
        with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free space") as error:
            write(mixed, tmp_path / name)
    assert "\n" not in str(error.value)
    assert write(mixed, tmp_path / name) == len(USERS)  # the remedy
    assert f"resuming after {len(USERS)} users" in caplog.text


def test_a_disk_that_is_full_in_the_middle(mixed, tmp_path, monkeypatch):
    plain = pathlib.Path.open

    class Full:
        def __init__(self, file):
            self.file, self.writes = file, 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, text):
            self.writes += 1
            if self.writes > 3:
                self.file.write(text[: len(text) // 2])
                full()
            return self.file.write(text)

    with monkeypatch.context() as patch:
        patch.setattr(
            pathlib.Path,
            "open",
            lambda self, *a, **k: Full(plain(self, *a, **k)) if self.suffix == ".part" else plain(self, *a, **k),
        )
        with pytest.raises(OutputError, match="No space left"):
            write(mixed, tmp_path / "a.jsonl")
    assert write(mixed, tmp_path / "a.jsonl") == len(USERS)
    assert read_picks(tmp_path / "a.jsonl")["user_id"].unique(maintain_order=True).to_list() == USERS


def test_a_read_only_place(mixed, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    with pytest.raises(GenreGenError, match=r"cannot be written: Permission denied; choose another place"):
        write(mixed, tmp_path / "none" / "a.jsonl")


def test_json_in_the_part_is_what_was_picked(mixed, killed):
    _, part = killed
    lines = [json.loads(line) for line in part.read_text().splitlines()]
    assert lines[0]["model"] == mixed.state.fingerprint()
    assert [line["user"] for line in lines[1:]] == USERS[:3]


def test_the_weights_of_another_member_are_another_model(mixed):
    assert altered(mixed, {"training.seed": 5}).state.fingerprint() != mixed.state.fingerprint()
