"""Is anything that people can hand in answered, or refused in one line, at once and in little memory?

    python -m eval.robustness.hostile_values RUN [--cases 100000] [--kinds requests filters ...] [--seed 0]

Values are made from texts of each kind by cutting, repeating and joining them, and by putting hostile pieces in:
control characters, brackets, numbers that no float has, halves of surrogates, words of templates. A case is *right* if
it is answered, or refused by an error of GENRE in one line. Anything else is *broken*, and printed so that it can
be repeated: another exception, a second of processor time, 500 MB more memory. A stopped run resumes.
"""

from __future__ import annotations

import json
import logging
import random
import resource
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.results import record, table
from eval.bench.script import at_least_one, new_parser, say, script
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from genre_gen.data.readers.delimited import read_delimited
from genre_gen.domain import Domain
from genre_gen.errors import GenreGenError
from genre_gen.folders.arrays import contents_of
from genre_gen.folders.manifest import Manifest
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.chat_template import render_chat
from genre_gen.recommender.recommender import Recommender

SECONDS, MEGABYTES = 1.0, 500.0
PIECES = (
    "(", ")", "[", "]", "{{", "}}", "{%", "%}", "'", '"', "\\", ",", ";", "\t", "\n", "\r", "\0", "\x1b[2J", "\u202e",
    "\ud800", "\ufeff", "é", "日本", "ﷺ", "😀", "-", "+", "1e999", "nan", "inf", "9" * 400, "0x10", "٣", "None", "true",
    " and ", " not ", "==", "<", " in ", "year", "genre", "title", "Alien (1979)", "1980", "(1979)", "not horror",
    "like ", "under ", "<|im_start|>", "../", "/etc/passwd", "range(9999)", "|upper", "a" * 300, " " * 300, "()" * 100,
)  # fmt: skip
"""What is put into values of every kind."""
_DIGEST = "0" * 64
SEEDS: dict[str, tuple[str, ...]] = {
    "filters": (
        "year >= 1980 and genre != 'Horror'",
        "genre in ['Drama', 'War'] or not year < 1990",
        "title == 'Heat (1995)'",
    ),
    "queries": (
        "something light about space for kids, no horror",
        "like Alien but funnier, from the 90s",
        "under 2 hours",
    ),
    "tables": (
        'id,title,genre,year\n1,Alien,Horror|War,1979\n2,"A, B",Drama,\n',
        "user\titem\trating\n1\t2\t3.5\n",
    ),
    "templates": (
        "{% for e in history %}{{ e.title }}, {% endfor %}",
        "{{ domain|upper }}{% if history %}{{ history[0].title ~ 'x' }}{% endif %}",
    ),
    "chat templates": ("{% for m in messages %}{{ '<s>' + m['role'] + m.content|trim }}{% endfor %}",),
    "settings": (
        'name = "films"\n[data]\npath = "."\n[training]\nepochs = 3\nseed = 0\n',
        '[blend]\nmembers = ["ease"]\n',
    ),
    "manifests": (
        f'{{"format": 4, "kind": "recommender", "files": {{"a.json": {{"bytes": 3, "sha256": "{_DIGEST}"}}}}}}',
    ),
}
"""Valid texts of each kind, which are changed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Try, count and write; exit code 1 where anything was broken."""
    parser = new_parser(__doc__, "demo run")
    parser.add_argument("--cases", type=int, default=100_000, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=sorted([*SEEDS, *MADE]), default=sorted([*SEEDS, *MADE]))
    parser.add_argument("--seed", type=int, default=0)
    with script(parser, arguments) as options:
        at_least_one(options, "cases")
        logging.getLogger("genre_gen").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        recommender = Recommender.from_pretrained(options.run)
        progress = options.out / f"hostile_values_{options.run.name}.progress"
        counts = json.loads(progress.read_text()) if progress.is_file() else {}
        for kind in options.kinds:
            counts[kind] = attack(recommender, kind, options.cases, options.seed, counts.get(kind, {}))
            options.out.mkdir(parents=True, exist_ok=True)
            progress.write_text(json.dumps(counts))
        rows = [
            (kind, *(f"{part.get(name, 0):,}" for name in ("answered", "refused", "broken")))
            for kind, part in counts.items()
        ]
        text = table(("values", "answered", "refused in one line", "broken"), rows)
        record(options.out, "hostile_values", options.run.name, counts, text)
        progress.unlink()
        print(text)
        raise SystemExit(int(any(part.get("broken", 0) for part in counts.values())))


def attack(recommender: Recommender, kind: str, cases: int, seed: int, done: dict[str, int]) -> dict[str, int]:
    """Try so many values of a kind, less those that were tried before; return what came of them."""
    counts = Counter(done)
    with tempfile.TemporaryDirectory() as folder:
        use = _users(recommender, Path(folder))[kind]
        before = _megabytes()
        for number in range(sum(done.values()), cases):
            rng = random.Random(f"{seed} {kind} {number}")
            value = MADE[kind](rng) if kind in MADE else changed(rng, rng.choice(SEEDS[kind]))
            begin = time.thread_time()
            outcome, why = _outcome(use, value)
            if time.thread_time() - begin > SECONDS:
                outcome, why = "broken", f"{time.thread_time() - begin:.1f} s"
            if _megabytes() - before > MEGABYTES:
                outcome, why, before = "broken", f"{_megabytes() - before:.0f} MB", _megabytes()
            if outcome == "broken":
                say(f"{kind} {number}: {why}: {str(value)[:300]!r}")
            counts[outcome] += 1
    return dict(counts)


def _outcome(use: Callable[[Any], object], value: Any) -> tuple[str, str]:
    try:
        use(value)
    except GenreGenError as problem:
        lines = str(problem).strip().count("\n")
        return ("refused", "") if not lines or "domain" in str(problem) else ("broken", f"{lines + 1} lines")
    except Exception as problem:
        return "broken", f"{type(problem).__name__}: {problem}"
    return "answered", ""


def changed(rng: random.Random, text: str) -> str:
    """Return a text with some parts cut, doubled, moved, or replaced by hostile pieces."""
    for _ in range(rng.randint(1, 6)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[to:]
        elif kind == 2:  # noqa: PLR2004 - one of five ways
            text = text[:to] + text[at:]
        elif kind == 3:  # noqa: PLR2004
            text = text[:at] + rng.choice(PIECES) * rng.choice((2, 9, 99)) + text[to:]
        else:
            text = (
                text[:at]
                + "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x11000)))) for _ in range(4))
                + text[to:]
            )
    return text


def scalar(rng: random.Random) -> Any:
    """Return a value of any kind."""
    return rng.choice(
        (None, True, False, 0, -1, 3, 10**400, -(10**5000), 2**63, 0.5, float("nan"), float("inf"), -1e308, b"x", [],
         {}, set(), 1j, np.int64(3), np.float32(2), rng.choice(PIECES), changed(rng, "Toy Story (1995)"), "17",
         "Alien (1979)")
    )  # fmt: skip


def request(rng: random.Random) -> dict[str, Any]:
    """Return the arguments of a request, most of them valid."""
    names = ("n", "query", "where", "exclude", "include", "at", "users")
    options = {name: scalar(rng) for name in names if rng.random() < 0.15}  # noqa: PLR2004 - few at a time
    event = (scalar(rng), (scalar(rng), scalar(rng)), "Alien (1979)", ("Toy Story (1995)", 4))
    return {"who": rng.choice((scalar(rng), "17", [rng.choice(event) for _ in range(rng.randint(0, 4))])), **options}


def item(rng: random.Random) -> list[Item]:
    """Return items with hostile ids, titles, labels and values."""
    return [
        Item(
            changed(rng, str(number)),
            changed(rng, "Alien (1979)"),
            {"genre": rng.choice(((changed(rng, "War"),), scalar(rng)))},
        )
        for number in range(rng.randint(1, 3))
    ]


def arrays(rng: random.Random) -> dict[str, Any]:
    """Return arrays of interactions of which one or two are invalid."""
    valid: dict[str, Any] = {
        "users": np.frombuffer(b'["u", "v"]', np.uint8), "offsets": np.array([0, 2, 3]), "rows": np.array([0, 1, 2]),
        "n_items": np.array([3]), "ratings": np.array([1, np.nan, 2], np.float32), "times": np.array([1, 2, 3]),
    }  # fmt: skip
    for name in rng.sample(sorted(valid), rng.randint(1, 2)):
        array = valid[name]
        bad = (
            np.array(rng.choice((0, -1, 2**62, 1e308, np.nan, True)) * np.ones(rng.randint(0, 4))),
            array[::-1],
            array[:1],
            array[None],
        )
        valid[name] = rng.choice(
            (*bad, array.astype(rng.choice(("f8", "i4", "u1", "?", "f2"))), np.frombuffer(b"[[[", np.uint8))
        )
    return valid


MADE: dict[str, Callable[[random.Random], Any]] = {"requests": request, "items": item, "arrays": arrays}
"""Kinds whose values are objects."""


def _users(recommender: Recommender, folder: Path) -> dict[str, Callable[[Any], object]]:
    """Return what uses the values of each kind."""
    messages = [{"role": "user", "content": "Alien"}, {"role": "assistant", "content": "Heat"}]
    toml = folder / "domain.toml"

    def ask(options: dict[str, Any]) -> object:
        answer = recommender.recommend(**options)
        return answer if isinstance(answer, tuple) else list(answer)

    def settings(text: str) -> object:
        toml.write_text(text, encoding="utf-8", errors="replace")
        return Domain.load(folder)

    def table_of(text: str) -> object:
        (folder / "x.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
        return read_delimited(folder / "x.csv").frame

    def interactions(values: dict[str, Any]) -> object:
        with contents_of(folder / "x.safetensors"):
            return Interactions.from_arrays(values).histories()

    return {
        "requests": ask,
        "filters": recommender.state.catalog.where,
        "queries": lambda text: recommender.recommend("1", n=3, query=text),
        "tables": table_of,
        "templates": _template,
        "chat templates": lambda text: render_chat(text, messages, {"bos_token": "<s>"}),
        "settings": settings,
        "manifests": lambda text: Manifest.from_bytes(text.encode("utf-8", "replace"), folder),
        "items": lambda items: Catalog(items).save(folder / "c.jsonl"),
        "arrays": interactions,
    }


def _template(text: str) -> object:
    """Read and render a template as a prompt book does."""
    with tempfile.TemporaryDirectory() as folder:
        for role in ("system", "user", "assistant"):
            (Path(folder) / f"next_item.{role}.jinja").write_text(text, encoding="utf-8", errors="replace")
        return PromptBook(Path(folder)).render("next_item", domain="films", history=[])


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
