"""Is each list of a load test what the library alone gives? Every served list, replayed from the store's log.

    python -m eval.live.replay [runs/movies] [--out runs/eval] [--most 20000]

``eval.live.load`` keeps the lists that it was served, and the log of their store. A list's history is that of its user
up to the event that the list names (``history_seq``), put together here without code of the server. Each list is asked
of the library alone, and must have the same items in the same order; items whose scores differ by at most 1e-4 may
change places. Lists are also compared with the rows that the server has kept of them.

Exit code 1 if a list differs.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.results import table
from eval.bench.script import say, script
from eval.live.client import Outcome
from eval.live.library import Library, Logged
from eval.live.server import Server
from eval.live.trial import Row, Trial, measure, new_trial, new_trial_parser, number
from genre_gen.data.history import History
from genre_gen.errors import DataError

Log = dict[str, list[tuple[int, Logged]]]


@dataclass(frozen=True)
class Kept:
    """Where lists are kept until they are replayed."""

    out: Path
    name: str

    def file(self, part: str) -> Path:
        """Return the file of the lists of one level."""
        return self.out / f"live_lists_{self.name}_{part}.json.gz"

    def parts(self) -> list[str]:
        """Return the levels whose lists are there."""
        before, behind = f"live_lists_{self.name}_", ".json.gz"
        return sorted(file.name[len(before) : -len(behind)] for file in self.out.glob(f"{before}*{behind}"))


def keep_lists(kept: Kept, part: str, server: Server, outcome: Outcome, users: Sequence[str]) -> None:
    """Write the lists that a load test was served, and the log of the server's store."""
    chosen = outcome.of("list") & outcome.fulfilled()
    lists = []
    for number_ in np.flatnonzero(chosen).tolist():
        answer = json.loads(outcome.bodies[number_])
        items = [(pick["item"], pick["score"]) for pick in answer["items"]]
        lists.append({"user": users[number_], "seq": answer["history_seq"], "id": answer["id"], "items": items})
    kept.out.mkdir(parents=True, exist_ok=True)
    content = {"lists": lists, "events": list(logged_rows(server.store)), "rows": list_rows(server.store)}
    with gzip.open(kept.file(part), "wt", encoding="utf-8", compresslevel=3) as file:
        json.dump(content, file)


def logged_rows(store: Path) -> Iterator[tuple[int, str, str, float, float | None]]:
    """Yield sequence number, user, item, time and rating of the events of a store, in order."""
    yield from queried(
        store,
        "SELECT event.seq, subject.user_id, name.text, event.happened, event.rating FROM event"
        " JOIN subject ON subject.id = event.subject JOIN name ON name.id = event.item ORDER BY event.seq",
    )


def list_rows(store: Path) -> dict[str, list[str]]:
    """Return the items of each list that a store has kept, by the list's id."""
    names = dict(queried(store, "SELECT id, text FROM name"))
    rows = queried(store, "SELECT list_id, items FROM list")
    return {list_id: [names[item] for item in np.frombuffer(packed, "<i4").tolist()] for list_id, packed in rows}


def queried(store: Path, query: str) -> Iterator[Any]:
    """Yield the rows of a query of a store, which may be in use."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as connection:
        yield from connection.execute(query)


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay and write; exit code 1 where a list differs."""
    parser = new_trial_parser(__doc__, ["replay"])
    parser.add_argument("--most", type=int, default=20_000, help="lists of one level that are replayed, evenly chosen")
    with script(parser, arguments) as options:
        kept = Kept(options.out, options.run.name)
        figures = measure(
            "live_replay",
            options,
            new_trial(options),
            {"replay": lambda trial: replay_all(trial, kept, options.most)},
            markdown,
        )
        print(markdown(figures))
        raise SystemExit(int(any(row["different"] for row in figures["replay"]["levels"].values())))


def replay_all(trial: Trial, kept: Kept, most: int) -> Row:
    """Replay the lists of all levels that were kept.

    Raises:
        DataError: no lists were kept.
    """
    if not kept.parts():
        raise DataError(f"{kept.out}: no lists of a load test; run eval.live.load with the same --out first")
    return {"levels": {part: replayed(trial.library, kept.file(part), most) for part in kept.parts()}}


def replayed(library: Library, file: Path, most: int) -> Row:
    """Compare the lists of a file with the library's own."""
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        content = json.load(opened)
    log = by_user(library, content["events"])
    lists = content["lists"]
    if len(lists) > most:
        lists = [lists[place] for place in np.linspace(0, len(lists) - 1, most).astype(int).tolist()]
    say(f"  {len(lists)} lists of {file.name}")

    def cases() -> Iterator[tuple[str, History, list[str], list[float]]]:
        for served in lists:
            history = as_of(library, log, served["user"], served["seq"])
            items, scores = [item for item, _ in served["items"]], [score for _, score in served["items"]]
            yield f"{served['user']} at {served['seq']}", history, items, scores

    found = library.compared(cases())
    rows = content["rows"]
    unlike = sum(rows[each["id"]] != [item for item, _ in each["items"]] for each in lists if each["id"] in rows)
    return {**vars(found), "kept_rows": sum(each["id"] in rows for each in lists), "unlike_rows": unlike}


def by_user(library: Library, events: Sequence[Sequence[Any]]) -> Log:
    """Return the events of each user with their sequence numbers, in order."""
    log: Log = defaultdict(list)
    for seq, user, item, happened, rating in events:
        known = float("nan") if rating is None else rating
        log[user].append((seq, Logged(library.rows[item], happened, known)))
    return log


def as_of(library: Library, log: Log, user: str, seq: int) -> History:
    """Return the history of a user after the event ``seq``."""
    return library.history(user, (event for place, event in log.get(user, []) if place <= seq))


def markdown(figures: dict[str, Row] | Any) -> str:
    """Return the table."""
    head = ("level", "lists", "same", "equal scores in other places", "different", "greatest difference of a score")
    rows = [
        (name, row["lists"], row["same"], row["tied"], row["different"], number(row["furthest"], 6))
        for name, row in figures["replay"]["levels"].items()
    ]
    return table(head, rows)


if __name__ == "__main__":
    main()
