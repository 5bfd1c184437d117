"""Is a saved folder whole, whatever happens to it? Bits flip, files are cut, writers are killed, and others write too.

    python -m eval.robustness.folders RUN [--damages 10000] [--kills 500] [--minutes 10]

* *damages*: one bit of one file is flipped, or the file is cut; loading must refuse the folder in one line. A flip of
  the manifest that changes nothing, such as a space for a line break, counts as harmless.
* *kills while saving*: a process that saves two recommenders in turn is killed at a random moment; the folder must
  contain one of them completely.
* *kills while training*: a training that writes a checkpoint at each step is killed repeatedly, and resumes each time;
  in the end it must have exactly the weights of one that was never killed. ``--epochs`` sets its length.
* *race*: two processes save, one loads, for some minutes; each load must give one of the two recommenders.

A stopped run resumes: counts are kept in ``--out``. The exit code is 1 if anything was broken.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from eval.bench.results import record, table
from eval.bench.script import new_parser, say, script
from genre_gen.blending.blend import Blend
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import CheckpointError
from genre_gen.folders.manifest import MANIFEST
from genre_gen.folders.reading import open_folder, verify_folder
from genre_gen.recommender.persistence import SETTINGS
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import LLM_MEMBER

BROKEN = "broken"
SLOW = 1.0  # seconds of the processor that a refusal may take
_fork = multiprocessing.get_context("fork")  # so that each process has loaded what it needs


def main(arguments: Sequence[str] | None = None) -> None:
    """Attack, count and write; exit code 1 where anything was broken."""
    parser = new_parser(__doc__, "demo run")
    parser.add_argument("--damages", type=int, default=10_000, help="bit flips and cuts")
    parser.add_argument("--kills", type=int, default=500, help="half of them while saving, half while training")
    parser.add_argument("--minutes", type=float, default=10.0, help="of two processes that save and one that loads")
    parser.add_argument("--epochs", type=int, default=1, help="of the training that is killed")
    with script(parser, arguments) as options:
        logging.getLogger("genre_gen").setLevel(logging.ERROR)
        progress = options.out / f"folders_{options.run.name}.progress"
        counts = json.loads(progress.read_text()) if progress.is_file() else {}
        parts: dict[str, Callable[[], Mapping[str, float]]] = {
            "damages": lambda: damages(options.run, options.damages),
            "kills while saving": lambda: kills_while_saving(options.run, options.kills // 2),
            "kills while training": lambda: kills_while_training(options.run, options.kills // 2, options.epochs),
            "race": lambda: race(options.run, options.minutes * 60),
        }
        for name, run in parts.items():
            if name not in counts:
                say(name)
                counts[name] = dict(run())
                options.out.mkdir(parents=True, exist_ok=True)
                progress.write_text(json.dumps(counts))
        text = markdown(counts)
        record(options.out, "folders", options.run.name, counts, text)
        progress.unlink()
        print(text)
        raise SystemExit(int(any(part.get(BROKEN, 0) for part in counts.values())))


def damages(run: Path, count: int, seed: int = 0) -> Counter[str]:
    """Flip a bit or cut a file, load, and put it back; return how often it was refused, harmless or broken."""
    rng, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(run, Path(folder) / "copy", ignore=shutil.ignore_patterns("checkpoint*", "refit*")))
        manifest = verify_folder(copy)
        files = [*map(copy.joinpath, manifest.files), copy / MANIFEST]
        for _ in range(count):
            file = rng.choice(files)
            size = file.stat().st_size
            place = rng.randrange(size) if size else 0
            cut = size == 0 or rng.random() < 0.1  # noqa: PLR2004
            whole = file.read_bytes() if cut else _flip(file, place, 1 << rng.randrange(8))
            if cut:
                file.write_bytes(whole[:place] if size else b"x")
            counts[_refusal(copy, manifest)] += 1
            file.write_bytes(whole)
        Recommender.from_pretrained(copy)  # all was put back
    return counts


def _flip(file: Path, place: int, bit: int) -> bytes:
    whole = file.read_bytes()
    file.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    return whole


def _refusal(folder: Path, manifest: Any) -> str:
    """Load a damaged folder; return what came of it."""
    begin = time.thread_time()
    try:
        Recommender.from_pretrained(folder)
    except CheckpointError as problem:
        one_line = "\n" not in str(problem)
        return "refused" if one_line and time.thread_time() - begin < SLOW else BROKEN
    except Exception as problem:
        say(f"{type(problem).__name__}: {problem}")
        return BROKEN
    same = verify_folder(folder) == manifest
    return "harmless" if same else BROKEN


def two_of(run: Path) -> list[Recommender]:
    """Return the recommender of a folder, and another one of the same parts with other weights of the blend."""
    recommender = Recommender.from_pretrained(run)
    state = recommender.state
    other = Blend({LLM_MEMBER: 0.123, **dict.fromkeys(state.members, 0.877 / max(1, len(state.members)))})
    return [recommender, Recommender.from_state(state.with_blend(other))]


def kills_while_saving(run: Path, count: int, seed: int = 0) -> Counter[str]:
    """Kill a process that saves; return how often the first, the second, or nothing whole was there."""
    rng, counts, both = random.Random(seed), Counter[str](), two_of(run)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "saved"
        begin = time.monotonic()
        both[0].save_pretrained(place)
        seconds = time.monotonic() - begin
        for _ in range(count):
            process = _fork.Process(target=_save_in_turn, args=(both, place))
            process.start()
            time.sleep(rng.uniform(0, 3 * seconds))
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            counts[_which(place, both)] += 1
        counts["left behind"] = len([path for path in Path(folder).iterdir() if path.suffix not in {"", ".lock"}]) - 1
    counts["left behind"] = max(0, counts["left behind"])
    return counts


def _save_in_turn(both: Sequence[Recommender], place: Path, deadline: float = float("inf")) -> None:
    while time.monotonic() < deadline:
        for recommender in both:
            recommender.save_pretrained(place)


def _which(place: Path, both: Sequence[Recommender]) -> str:
    """Return which of two recommenders a folder holds, all of it verified; ``broken`` where it is neither."""
    try:
        with open_folder(place, "recommender") as saved:
            tuned = saved.json(SETTINGS)["tuned"]
    except CheckpointError as problem:
        say(str(problem))
        return BROKEN
    names = ("first", "second")
    return next((name for name, each in zip(names, both, strict=True) if tuned == each.state.tuned.to_dict()), BROKEN)


def kills_while_training(run: Path, count: int, epochs: int, seed: int = 0) -> Counter[str]:
    """Kill a training at random moments until it ends; compare its weights with one that was never killed."""
    rng, counts = random.Random(seed), Counter[str]()
    state = Recommender.from_pretrained(run).state
    domain = state.domain.changed({"training.epochs": epochs, "training.max_minutes": None, "training.tracker": "none"})
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        begin = time.monotonic()
        _in_process(_train, domain, state, whole)
        seconds = time.monotonic() - begin
        for _ in range(count):
            process = _fork.Process(target=_train, args=(domain, state, killed))
            process.start()
            process.join(rng.uniform(0, seconds))
            if process.exitcode is None:
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                counts["killed"] += 1
                with suppress(CheckpointError):
                    verify_folder(killed)
                    counts[BROKEN] += 1  # nothing was saved yet
                continue
            counts["finished" if process.exitcode == 0 else BROKEN] += 1
            counts["same weights" if _weights(killed) == _weights(whole) else BROKEN] += 1
            shutil.rmtree(killed)
        if killed.exists() and not (killed / MANIFEST).exists():  # the last one goes on to its end
            counts["finished" if _in_process(_train, domain, state, killed) == 0 else BROKEN] += 1
            counts["same weights" if _weights(killed) == _weights(whole) else BROKEN] += 1
    return counts


def _train(domain: Any, state: Any, folder: Path) -> None:
    """Train and save, with a checkpoint after each step."""
    from genre_gen.training.finetune import FineTuner

    (FineTuner.__init__.__kwdefaults__ or {})["checkpoint_seconds"] = 0.0
    recommender = Recommender(domain)
    recommender.fit(leave_one_out(state.histories, state.catalog), folder=folder)
    recommender.save_pretrained(folder)


def _in_process(target: Callable[..., None], *arguments: Any) -> int | None:
    process = _fork.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def _weights(folder: Path) -> str:
    with open_folder(folder) as saved:
        return hashlib.sha256(saved.read("llm.safetensors")).hexdigest()


def race(run: Path, seconds: float) -> Counter[str]:
    """Load while two processes save; return how often which of the two came, whole."""
    counts, both = Counter[str](), two_of(run)
    expected = {name: _answers(each) for name, each in zip(("first", "second"), both, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "saved"
        both[0].save_pretrained(place)
        deadline = time.monotonic() + seconds
        savers = [_fork.Process(target=_save_in_turn, args=(pair, place, deadline)) for pair in (both, both[::-1])]
        for saver in savers:
            saver.start()
        while time.monotonic() < deadline:
            try:
                answers = _answers(Recommender.from_pretrained(place))
            except CheckpointError as problem:
                say(str(problem))
                counts[BROKEN] += 1
                continue
            counts[next((name for name, known in expected.items() if answers == known), BROKEN)] += 1
        for saver in savers:
            saver.join()
            counts[BROKEN] += saver.exitcode != 0
    return counts


def _answers(recommender: Recommender) -> list[Any]:
    users = recommender.state.histories.users[:3]
    return [[(pick.item.id, pick.score) for pick in recommender.recommend(user, n=5)] for user in users]


def markdown(counts: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table."""
    rows = [
        (
            name,
            ", ".join(f"{value:,} {what}" for what, value in sorted(part.items()) if what != BROKEN),
            part.get(BROKEN, 0),
        )
        for name, part in counts.items()
    ]
    return table(("attack", "what came of it", BROKEN), rows)


if __name__ == "__main__":
    main()
