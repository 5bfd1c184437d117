from __future__ import annotations

import logging
import os
import warnings

from genre_gen.downloads.third_party_logging import QUIET, quiet_environment, quiet_libraries


def test_libraries_are_silent_inside_and_as_before_outside(capfd):
    import huggingface_hub.utils as hub
    from transformers.utils import logging as transformers_logging

    def state():
        verbosity = transformers_logging.get_verbosity(), hub.logging.get_verbosity()
        return *verbosity, transformers_logging.is_progress_bar_enabled(), hub.are_progress_bars_disabled()

    logger, before = transformers_logging.get_logger("transformers.test"), state()
    with quiet_libraries():
        logger.warning("advice")
        warnings.warn("clean_up_tokenization_spaces was not set", FutureWarning, stacklevel=1)
        list(transformers_logging.tqdm(range(3)))
        logging.getLogger("huggingface_hub.test").warning("advice")
    assert capfd.readouterr() == ("", "")
    assert state() == before


def test_variables_set_by_the_user_are_kept(monkeypatch):
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "debug")
    quiet_environment()
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "debug"
    assert os.environ["HF_HUB_VERBOSITY"] == "error"
    for name in QUIET:
        monkeypatch.delenv(name)
