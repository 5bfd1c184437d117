"""Keeping transformers and huggingface_hub from talking over our own messages and progress bars."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",  # its threads and ours would take each other's cores, and it warns after forks
}


def quiet_environment() -> None:
    """Quieten the libraries for this process, before or without importing them; what the user has set stays."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block: only errors from transformers and huggingface_hub, no warnings, no bars for what takes seconds.

    Bars of huggingface_hub's downloads stay where stderr is a terminal. Everything is put back afterwards.
    """
    import huggingface_hub.utils as hub
    from transformers.utils import logging as transformers_logging

    verbosity, hub_verbosity = transformers_logging.get_verbosity(), hub.logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    hide_downloads = not sys.stderr.isatty() and not hub.are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub.logging.set_verbosity_error()
    if hide_downloads:
        hub.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        hub.logging.set_verbosity(hub_verbosity)
        if hide_downloads:
            hub.enable_progress_bars()


def quiet_bitsandbytes() -> None:
    """Keep it from saying at each call that int8 layers cast inputs, and at import that it lacks a hub's kernels.

    Called before it is first imported, which PEFT does for every adapter.
    """
    for name in ("autograd._functions", "backends.cpu.ops"):
        logging.getLogger(f"bitsandbytes.{name}").setLevel(logging.ERROR)
