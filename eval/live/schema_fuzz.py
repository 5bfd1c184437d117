"""Fuzz the documented interface: every example once, then made-up requests, valid and invalid, to every operation.

    python -m eval.live.schema_fuzz [runs/movies] [--quick] [--record]

A promise is broken by an answer of 500, an operation that never succeeds, an example that fails, and an answer that is
not as ``/openapi.json`` says. Streams do not end and are left to the scripts of push.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from eval.bench.script import say, script
from eval.live.server import Server
from eval.live.trial import Row, Trial, measure, new_trial, new_trial_parser

STEM = "live_schema_fuzz"
ORDER = ("PUT", "POST", "GET", "PATCH", "DELETE")
"""So that what an example reads was made by another."""
STREAMS = "/stream"
UNLIMITED = ("--set", "rate=1000000", "--set", "burst=1000000", "--set", "timeout_ms=30000")
SUCCESS = range(200, 300)


def operations(documentation: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and description of each operation whose answer ends."""
    for path, methods in documentation["paths"].items():
        for method, operation in methods.items():
            if not path.endswith(STREAMS):
                yield method.upper(), path, operation


def examples(server: Server) -> dict[str, int]:
    """Send each example of the documentation; return the status of each operation.

    Lists and keys get ids when they are made, so those of the examples are replaced by ids of new ones.
    """
    statuses = {}
    with server.api.caller() as caller:
        documentation = caller.call("GET", "/openapi.json").json
        for method, path, operation in sorted(operations(documentation), key=lambda each: ORDER.index(each[0])):
            parameters = operation.get("parameters", ())
            named = {each["name"]: each["example"] for each in parameters if "example" in each}
            if "prefix" in named:
                named["prefix"] = caller.call("POST", "/v1/keys", {"role": "read"}).json["prefix"]
            if "list" in named:
                named["list"] = caller.recommend("17", 5).json["id"]
            query = urlencode({each["name"]: named[each["name"]] for each in parameters
                               if each["in"] == "query" and each["name"] in named})  # fmt: skip
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            address = path.format(**named) + (f"?{query}" if query else "")
            statuses[f"{method} {path}"] = caller.call(method, address, content.get("example")).status
    return statuses


def fuzz(trial: Trial) -> Row:
    """Send the examples, then made-up requests; return the counts."""
    import schemathesis

    each = trial.size(300, 10)
    with trial.server(*UNLIMITED) as server:
        tried = examples(server)
        with server.api.caller() as caller:
            made = caller.recommend("17", 5).json["id"]
        names = {"domain": trial.domain, "item": "12", "user": "17", "list": made}
        address = f"http://{server.api.host}:{server.api.port}/openapi.json"
        documentation = schemathesis.openapi.from_url(address).exclude(path_regex=f"{STREAMS}$")
        statuses: dict[str, Counter[int]] = {}
        wrong: Counter[str] = Counter()
        for found in documentation.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]
            name = f"{operation.method.upper()} {operation.path}"
            say(f"{STEM}: {name}")
            statuses[name] = _send(operation, each, {"Authorization": f"Bearer {server.key}"}, names, wrong)
        alive = server.running
    total = sum((counts for counts in statuses.values()), Counter[int]())
    never = [name for name, counts in statuses.items() if not any(s in SUCCESS for s in (*counts, tried[name]))]
    failed = {name: status for name, status in tried.items() if status not in SUCCESS}
    return {
        "operations": len(statuses),
        "requests": total.total(),
        "statuses": {str(status): count for status, count in sorted(total.items())},
        "of_500": total[500],
        "never_succeeded": never,
        "examples": len(tried),
        "failed_examples": failed,
        "not_as_documented": dict(wrong.most_common(20)),
        "broken": total[500] + len(never) + len(failed) + wrong.total() + (not alive),
        "by_operation": {name: {str(s): n for s, n in sorted(counts.items())} for name, counts in statuses.items()},
    }


def not_checked(path: str) -> list[Any]:
    """Return the checks of schemathesis that an operation fails by its design.

    Which items and fields there are is data, so a valid request may be refused. Events are refused one by one, in an
    answer of 200.
    """
    from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

    one_by_one = [negative_data_rejection] if path.endswith("/events") else []
    return [positive_data_acceptance, *one_by_one]


def _send(
    operation: Any, each: int, headers: Mapping[str, str], names: Mapping[str, str], wrong: Counter[str]
) -> Counter[int]:
    """Send made-up requests to an operation; count the statuses, and what is not as documented.

    An answer of 503 is that of a busy server.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.checks import not_a_server_error
    from schemathesis.generation import GenerationMode

    skipped = [not_a_server_error, *not_checked(operation.path)]
    statuses: Counter[int] = Counter()
    chosen = settings(
        max_examples=each,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @chosen
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            if case.meta.generation.mode is GenerationMode.POSITIVE:
                _name(case, names, statuses.total())
            answer = case.call(headers=headers)
            statuses[answer.status_code] += 1
            try:
                case.validate_response(answer, excluded_checks=skipped)
            except BaseExceptionGroup as problems:
                for problem in problems.exceptions:
                    wrong[f"{operation.method.upper()} {operation.path}: {getattr(problem, 'title', problem)}"] += 1

        with suppress(Unsatisfiable):  # without parameters and a body, nothing is invalid
            send()
    return statuses


def _name(case: Any, names: Mapping[str, str], turn: int) -> None:
    """Put names that exist into most paths, and leave most deadlines out, since other requests do not get far."""
    parameters = case.path_parameters or {}
    for name in parameters.keys() & names.keys():
        if turn % (5 if name == "domain" else 3):
            parameters[name] = names[name]
    if turn % 4:
        case.headers.pop("X-Timeout-Ms", None)


def markdown(figures: Mapping[str, Row]) -> str:
    """Return the counts as a table."""
    row = figures.get("fuzz", {})
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {row[name]} |" for name in ("operations", "requests", "of_500", "examples")
              if name in row]  # fmt: skip
    lines += [f"| {name.replace('_', ' ')} | {len(row[name])} |"
              for name in ("never_succeeded", "failed_examples", "not_as_documented") if name in row]  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz, write the counts; exit code 1 if a promise was broken."""
    with script(new_trial_parser(__doc__, ["fuzz"]), arguments) as options:
        figures = measure(STEM, options, new_trial(options), {"fuzz": fuzz}, markdown)
        print(markdown(figures))
        raise SystemExit(int(any(row["broken"] for row in figures.values())))


if __name__ == "__main__":
    main()
