"""Silence transformers and huggingface_hub, which would interfere with our messages and progress bars."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

log = logging.getLogger(__name__)
QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",  # its threads compete with ours for cores, and it warns after forks
}


def quiet_environment() -> None:
    """Silence the libraries for this process, before or without importing them; variables set by the user are kept."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block: only errors from transformers and huggingface_hub, no warnings, and no progress bars.

    Bars of downloads are kept if stderr is a terminal and warnings of this library are on.
    """
    quiet_tqdm()
    import huggingface_hub.utils as hub
    from transformers.utils import logging as transformers_logging

    with warnings.catch_warnings(), ExitStack() as undo:
        warnings.simplefilter("ignore")
        for library in (transformers_logging, hub.logging):
            undo.callback(library.set_verbosity, library.get_verbosity())
            library.set_verbosity_error()
        if transformers_logging.is_progress_bar_enabled():
            undo.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()
        if not (sys.stderr.isatty() and log.isEnabledFor(logging.WARNING)) and not hub.are_progress_bars_disabled():
            undo.callback(hub.enable_progress_bars)
            hub.disable_progress_bars()
        yield


def quiet_tqdm() -> None:
    """Import what the libraries draw bars with, without its advice on packages for notebooks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("tqdm.auto")


def quiet_bitsandbytes() -> None:
    """Silence its warnings that int8 layers cast inputs (each call) and that kernels of a hub are missing (import).

    It must be called before the first import, and PEFT imports it for every adapter.
    """
    for name in ("autograd._functions", "backends.cpu.ops"):
        logging.getLogger(f"bitsandbytes.{name}").setLevel(logging.ERROR)
