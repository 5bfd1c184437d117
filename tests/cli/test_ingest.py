"""Ingest: a log in any format of the readers becomes events with stable ids, and a repeated one is counted as such."""

import json

import polars as pl
import pytest

from genre_gen.cli.ingest import BATCH, Ingested, read_events
from genre_gen.domain import Domain
from tests.cli.fake_server import answering
from tests.cli.outcomes import SAMPLE, refused

KEY = "gk_abcd1234_" + "x" * 43


@pytest.fixture
def movies():
    return Domain.load(SAMPLE)


def read(domain, file, text=None):
    if text is not None:
        file.write_text(text)
    ingested = Ingested()
    return list(read_events(domain, file, ingested)), ingested


def test_the_columns_are_those_of_the_domain(movies, tmp_path):
    text = "user_id,item_id,rating,timestamp\n17,1,4,881250949\nanna,2,,881250950.25\n17,1,4,881250949\n"
    events, ingested = read(movies, tmp_path / "log.csv", text)
    assert ingested.records == 3
    first, second, again = events
    assert {key: first[key] for key in ("user", "item", "rating", "at")} == {
        "user": "17", "item": "1", "rating": 4.0, "at": 881250949.0,
    }  # fmt: skip
    assert (second["user"], second["at"], "rating" in second) == ("anna", 881250950.25, False)
    assert again["event_id"] == first["event_id"] + "-2"
    assert len({event["event_id"] for event in events}) == 3


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_the_same_log_in_another_format_has_the_same_ids(movies, tmp_path, ending):
    frame = pl.DataFrame({"user_id": ["17", "22"], "item_id": ["1", "2"], "timestamp": [881250949, 881250950]})
    frame.write_csv(tmp_path / "a.csv")
    file = tmp_path / f"b.{ending}"
    writers = {
        "csv": frame.write_csv,
        "tsv": lambda path: frame.write_csv(path, separator="\t"),
        "jsonl": frame.write_ndjson,
        "parquet": frame.write_parquet,
    }
    writers[ending](file)
    expected, events = read(movies, tmp_path / "a.csv")[0], read(movies, file)[0]
    assert events == expected


def test_a_log_that_grows_keeps_its_ids_and_without_times_the_file_counts(movies, tmp_path):
    text = "user_id,item_id,timestamp\n17,1,5\n22,1,5\n"
    before = read(movies, tmp_path / "a.csv", text)[0]
    after = read(movies, tmp_path / "b.csv", "user_id,item_id,timestamp\n4,1,3\n17,1,5\n22,1,5\n")[0]
    assert [event["event_id"] for event in after[1:]] == [event["event_id"] for event in before]
    untimed = [
        read(movies, tmp_path / name, "user_id,item_id\n17,1\n")[0][0]["event_id"] for name in ("c.csv", "d.csv")
    ]
    assert untimed[0] != untimed[1]


def test_records_that_cannot_be_events_are_rejected_with_the_reason(movies, tmp_path):
    text = f"user_id,item_id,rating\n,1,4\n17,,4\n{'x' * 501},1,3\n17,1,inf\n17,2,4\n"
    events, ingested = read(movies, tmp_path / "log.csv", text)
    assert [event["item"] for event in events] == ["2"]
    assert ingested.rejected == 4
    assert set(ingested.reasons) == {
        "no user", "no item", "the user has more than 500 characters", "the rating is not finite",
    }  # fmt: skip


def test_milliseconds_keep_their_fractions(movies, tmp_path):
    settings = movies.changed({"data.time_unit": "ms"})
    events, _ = read(
        settings, tmp_path / "log.csv", "user_id,item_id,timestamp\n17,1,881250949123\n17,2,881250950000\n"
    )
    assert [event["at"] for event in events] == [881250949.123, 881250950.0]


class Server:
    """Stores events by id, and is busy at times."""

    def __init__(self):
        self.ids, self.busy, self.sizes = set(), 0, []

    def __call__(self, method, path, content, headers):
        if headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"detail": "no such key"}
        if path != "/v1/movies/events":
            return 404, {"detail": "no such path"}
        if self.busy:
            self.busy -= 1
            return 503, {"detail": "busy"}, {"Retry-After": "0"}
        self.sizes.append(len(content["events"]))
        ids = {event["event_id"] for event in content["events"]}
        new, self.ids = len(ids - self.ids), self.ids | ids
        wrong = [{"index": 0, "error": "no item 'x'"}] if content["events"][0]["item"] == "x" else []
        done = {"accepted": new - len(wrong), "duplicates": len(ids) - new, "updated": 0, "rejected": wrong, "seq": 9}
        return 200, done


def log_of(tmp_path, records=1203, first="1"):
    rows = [f"u{number},{first if number == 0 else number % 40 + 1},{number}" for number in range(records)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return tmp_path / "log.csv"


def test_a_log_is_sent_in_batches_and_a_repeated_one_adds_nothing(genre, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_KEY", KEY)
    file, store = log_of(tmp_path), Server()
    store.busy = 2
    with answering(store) as server:
        code, out, err = genre("ingest", file, SAMPLE, "--url", server.url)
        assert (code, out) == (0, "1,203 records: 1,203 accepted, 0 were there, 0 rejected\n")
        assert f"into the server at {server.url}" in err
        assert store.sizes == [BATCH, BATCH, 203]
        code, out, _ = genre("ingest", file, SAMPLE, "--url", server.url, "--json", "-q")
    assert json.loads(out) == {
        "records": 1203, "accepted": 0, "duplicates": 1203, "updated": 0, "rejected": 0, "reasons": {},
    }  # fmt: skip


def test_rejected_records_end_with_1_and_the_reasons(genre, tmp_path):
    with answering(Server()) as server:
        code, out, _ = genre("ingest", log_of(tmp_path, 3, "x"), SAMPLE, "--url", server.url, "--key", KEY)
    assert code == 1
    assert out.splitlines() == ["3 records: 2 accepted, 0 were there, 1 rejected", "  1 times: no item 'x'"]


def test_what_cannot_be_sent_is_one_line(genre, tmp_path, monkeypatch):
    monkeypatch.delenv("GENRE_KEY", raising=False)
    file = log_of(tmp_path, 3)
    with answering(Server()) as server:
        refused(genre("ingest", file, SAMPLE, "--url", server.url), 2, "a server wants a key", "GENRE_KEY")
        refused(genre("ingest", file, SAMPLE, "--url", server.url, "--store", "sqlite:///x"), 2, "give either --url")
        outcome = genre("-q", "ingest", file, SAMPLE, "--url", server.url, "--key", "gk_wrong")
        assert outcome[0] == 1
        assert outcome[2].splitlines()[-1].startswith(f"genre-gen: {server.url} refused: no such key; give a key as")
        refused(genre("ingest", tmp_path / "none.csv", SAMPLE, "--url", server.url, "--key", KEY), 1, "no such file")
    outcome = genre("-q", "ingest", file, SAMPLE, "--url", server.url, "--key", KEY)
    assert "no server answers" in outcome[2].splitlines()[-1]
