"""How close is a request to its lower bound? The default configuration, from history to ten items, on a CPU.

    python -m eval.serving.request_time [runs/movies] [--settings none int8] [--rounds 15] [--threads 2] [--quick]

For users with the shortest, the median and the longest history, and each setting of ``serving.quantization``,
alternately:

* two lower bounds: the operations of the layers over the tokens of the prompt, and the bytes of weights that must be
  read once. They are converted to milliseconds by a matrix product of the layers' size and a copy of memory, measured
  in the same run;
* a bare forward pass over the whole prompt at the same depth, by torch's own layers and by the layers in use
  (prepacked, if that is faster);
* the search from a ready prompt, the language model's part (including making and encoding the prompt), and the whole
  request (``Recommender.recommend``: filters, all members with a weight, blend, ten picks);
* the shares of operators in the language model's part, by torch's profiler (on a busy machine it overestimates long
  ones).

The instruction is cached as in serving; users' own prefixes are not cached between requests. Each figure is the fastest
of the rounds, as wall-clock and processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from eval.serving.quantization import quantized
from genre_gen.data.history import History
from genre_gen.decoding.onednn import PrepackedLinear, is_faster, prepack
from genre_gen.decoding.search import search
from genre_gen.llm.generator import ItemGenerator
from genre_gen.llm.hardware import examine_machine
from genre_gen.recommender.recommender import Recommender
from genre_gen.recommender.state import RecommenderState

Row = dict[str, Any]
OPERATORS = {
    "matrix products": (
        "aten::mm",
        "aten::addmm",
        "aten::bmm",
        "quantized::linear_dynamic",
        "mkldnn::_linear_pointwise",
    ),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_attention_math"),
}
PARTS = ("bare pass", "same layers", "search", "language model", "request")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__, "demo run", "threads", "quick")
    parser.add_argument("--settings", nargs="+", default=["none", "bf16", "int8"])
    parser.add_argument("--rounds", type=int)
    with script(parser, arguments) as options:
        torch.set_num_threads(options.threads)
        rounds = options.rounds or (3 if options.quick else 15)
        state = Recommender.from_pretrained(options.run, quantization="none").state
        served = {name: quantized(state, name) for name in options.settings}
        rows = [
            row | {"history": len(history)}
            for history in chosen(state)
            for row in measured(state, served, history, rounds)
        ]
        machine = {"threads": options.threads, "torch": torch.__version__, "flags": examine_machine().cpu_flags}
        content = {"machine": machine, "rows": rows}
        text = markdown(content)
        record(options.out, "request_time", options.run.name, content, text)
        print(text)


def chosen(state: RecommenderState) -> list[History]:
    """Return the shortest, the median and the longest history, without user ids, so that no prefix is cached."""
    by_length = sorted(state.histories.histories(), key=len)
    return [
        History(history.rows, history.ratings)
        for history in (by_length[0], by_length[len(by_length) // 2], by_length[-1])
    ]


def measured(
    state: RecommenderState, served: Mapping[str, RecommenderState], history: History, rounds: int
) -> list[Row]:
    """Return a row for each setting."""
    size = len(state.catalog)
    allowed = np.ones(size, bool)
    if not state.domain.repeat:
        allowed[history.rows] = False
    work: dict[tuple[str, str], Callable[[], Any]] = {}
    for name, variant in served.items():
        generator = variant.generator
        ids = generator.encode(history).ids
        work |= {
            (name, "bare pass"): bare_pass(generator, generator.llm.item_backbone, ids),
            (name, "same layers"): bare_pass(generator, prepack(generator.llm.item_backbone), ids),
            (name, "search"): partial(search, generator.model, ids, generator.trie, 10, allowed),
            (name, "language model"): partial(generator.generate, history, 10, allowed),
            (name, "request"): partial(Recommender.from_state(variant).recommend, history, 10),
            (name, "product"): product(generator, len(ids)),
        }
    work["", "copy"] = copy_memory()
    times = quickest(work, rounds)
    rows = []
    for name, variant in served.items():
        generator = variant.generator
        encoded = generator.encode(history)
        row: Row = {"setting": name, "tokens": len(encoded), "kept": encoded.start}
        row["floor"] = floor(generator, len(encoded), encoded.start, times[name, "product"], times["", "copy"])
        row |= {what: taken for (setting, what), taken in times.items() if setting == name and what != "product"}
        rows.append(row | {"shares": shares(partial(generator.generate, history, 10, allowed))})
    return rows


def bare_pass(generator: ItemGenerator, tower: Any, ids: Any) -> Callable[[], Any]:
    """Return a function that does a forward pass over a whole prompt at the depth of serving."""
    llm, prompt = generator.llm, torch.as_tensor(ids.astype(np.int64))[None]

    @torch.inference_mode()
    def run() -> None:
        tower(inputs_embeds=llm.embed_items(prompt), use_cache=False)

    return run


PRODUCT, COPIED = (1536, 576), 2**26


def product(generator: ItemGenerator, tokens: int) -> Callable[[], Any]:
    """Return a function that does a matrix product with the layers' kind of weights, with a row for each token."""
    layer: nn.Module = nn.Linear(PRODUCT[1], PRODUCT[0], bias=False)
    if generator.llm.served == "int8":
        from genre_gen.llm.int8 import int8_layers

        layer = int8_layers(nn.ModuleList([layer]))[0]
    rows = torch.randn(1, tokens, PRODUCT[1], dtype=torch.float32)
    if generator.llm.served == "bf16":
        layer, rows = layer.to(torch.bfloat16), rows.to(torch.bfloat16)
    if is_faster(rows.dtype) and generator.llm.served != "int8":
        layer = PrepackedLinear(layer)  # type: ignore[arg-type]

    @torch.inference_mode()
    def run() -> None:
        layer(rows)

    return run


def copy_memory() -> Callable[[], Any]:
    """Return a function that copies more memory than fits into caches."""
    source, target = torch.ones(COPIED // 4), torch.empty(COPIED // 4)
    return lambda: target.copy_(source)


def floor(generator: ItemGenerator, tokens: int, kept: int, multiplied: Row, copied: Row) -> Row:
    """Return lower bounds in ms of computing and reading the layers for the tokens that are not cached."""
    llm = generator.llm
    config = llm.item_backbone.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inner, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    attention = config.hidden_size * (2 * inner + 2 * keys)
    layer = attention + 3 * config.hidden_size * config.intermediate_size
    layers, new = config.num_hidden_layers, tokens - kept
    last = config.hidden_size * (
        inner + 2 * keys
    )  # of the last layer: queries, keys and values; the rest for multiplied token
    scores = sum(2 * 2 * inner * seen for seen in range(kept + 1, tokens + 1)) * layers
    operations = 2 * new * ((layers - 1) * layer + last) + 2 * (layer - last) + scores
    operations += 2 * llm.code_embedding.numel()
    bits = {"none": 4, "bf16": 2, "int8": 1, "nf4": 0.5}[llm.served]
    read = layers * layer * bits + llm.code_embedding.nbytes + 4 * config.hidden_size * new
    speed = 2 * tokens * PRODUCT[0] * PRODUCT[1] / multiplied["processor_ms"]  # operations per ms
    return {
        "operations": operations,
        "bytes": int(read),
        "operations_ms": operations / speed,
        "bytes_ms": read / (2 * COPIED / copied["processor_ms"]),
    }


def quickest(work: Mapping[tuple[str, str], Callable[[], Any]], rounds: int) -> dict[tuple[str, str], Row]:
    """Measure all work alternately; return the fastest wall-clock and processor ms of each."""
    taken = {name: np.full((rounds, 2), np.inf) for name in work}
    for turn in range(-1, rounds):
        for name, run in work.items():
            begin = time.perf_counter(), time.process_time()
            run()
            end = time.perf_counter(), time.process_time()
            if turn >= 0:
                taken[name][turn] = np.subtract(end, begin)
    return {
        name: dict(zip(("ms", "processor_ms"), (1e3 * best).tolist(), strict=True))
        for name, best in ((name, samples.min(0)) for name, samples in taken.items())
    }


def shares(run: Callable[[], Any], times: int = 3) -> dict[str, float]:
    """Return the share of each operator in the time of a request."""
    from torch.profiler import ProfilerActivity, profile

    run()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(times):
            run()
    times_of = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    parts = {name: sum(times_of.get(key, 0.0) for key in keys) for name, keys in OPERATORS.items()}
    parts["other operators"] = sum(times_of.values()) - sum(parts.values())
    return {name: microseconds / sum(times_of.values()) for name, microseconds in parts.items()}


def markdown(content: Row) -> str:
    """Return the table; ms of the processor, and the request relative to the bare pass."""
    names = ["setting", "tokens", "kept", "G operations", "MB read", "floor", *PARTS]
    names += ["request / bare pass", "/ same layers", "outside the language model", *OPERATORS]
    rows = []
    for row in content["rows"]:
        counts = row["floor"]
        ms = {part: row[part]["processor_ms"] for part in PARTS}
        cells = [row["setting"], row["tokens"], row["kept"]]
        cells += [f"{counts['operations'] / 1e9:.2f}", f"{counts['bytes'] / 1e6:.0f}"]
        cells += [f"{max(counts['operations_ms'], counts['bytes_ms']):.1f}", *(f"{ms[part]:.1f}" for part in PARTS)]
        cells += [f"{ms['request'] / ms['bare pass']:.2f}", f"{ms['request'] / ms['same layers']:.2f}"]
        cells += [f"{max(1 - ms['language model'] / ms['request'], 0):.1%}"]
        rows.append([*cells, *(f"{row['shares'][name]:.0%}" for name in OPERATORS)])
    return f"{content['machine']['threads']} threads; ms of the processor.\n\n{table(names, rows)}"


if __name__ == "__main__":
    main()
