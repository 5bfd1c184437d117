"""A model's tokenizer without transformers, whose import takes longer than a recommender's first answer.

The package ``tokenizers``, by which transformers tokenizes too, reads ``tokenizer.json`` itself. What transformers adds
to that depends on the class and the options that ``tokenizer_config.json`` names. :func:`read_tokenizer` takes only
folders in which it adds nothing; :func:`genre_gen.llm.load.load_tokenizer` gives all others to transformers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import tokenizers

FILE, SETTINGS, CHAT_TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""The special tokens that have names, in the order of transformers."""
_CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")  # these take tokenizer.json as it is
_IGNORED = {"backend", "tokenizer_class", "model_max_length", "clean_up_tokenization_spaces", "chat_template"}
_OTHER_FILES = ("special_tokens_map.json", "added_tokens.json", "additional_chat_templates")  # of older versions
_MODELS = ("llama",)  # others may replace the class that tokenizer_config.json names
_PATCHED = 100_000  # from this vocabulary on transformers looks for pre-tokenizers with a known mistake
_PLAIN = {"special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}


@dataclass(frozen=True)
class Tokens:
    """Token ids of a text, or of each of several texts."""

    input_ids: Any


class LightTokenizer:
    """The part of a transformers tokenizer that prompts need; equal in results, safe to use from several threads.

    Attributes:
        special_tokens_map: name -> special token, such as ``eos_token``.
        chat_template: the source of the chat template; None without one.
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, special: Mapping[str, str], chat_template: str | None = None
    ) -> None:
        """Wrap a tokenizer whose added tokens include the special ones."""
        self._backend, self._lock = backend, threading.Lock()  # whether special tokens are split is a state of it
        self.special_tokens_map = {name: special[name] for name in SPECIAL if name in special}
        self.chat_template = chat_template
        self._added = {token.content: number for number, token in sorted(backend.get_added_tokens_decoder().items())}

    def __len__(self) -> int:
        """Return the number of tokens."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        """Return the tokenizer itself, which has no options that could be changed."""
        return self

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        add_special_tokens: bool,
        split_special_tokens: bool = False,
        verbose: bool = True,
    ) -> Tokens:
        """Encode one text or several, without the tokens that some models put around each.

        Args:
            text: one text, or a list of texts.
            add_special_tokens: False.
            split_special_tokens: whether special tokens in the text are read as plain text.
            verbose: ignored.

        Raises:
            ValueError: ``add_special_tokens`` is True.
        """
        if add_special_tokens:
            raise ValueError("a LightTokenizer adds no special tokens; pass add_special_tokens=False")
        texts = [text] if isinstance(text, str) else list(text)
        with self._lock:
            self._backend.encode_special_tokens = split_special_tokens
            encoded = [each.ids for each in self._backend.encode_batch(texts, add_special_tokens=False)]
        return Tokens(encoded[0] if isinstance(text, str) else encoded)

    def decode(self, ids: Any, *, skip_special_tokens: bool = False) -> str:
        """Return the text of one sequence of ids: a list, an array or a tensor."""
        return str(self._backend.decode([int(number) for number in ids], skip_special_tokens=skip_special_tokens))

    def get_added_vocab(self) -> dict[str, int]:
        """Return token -> id of the tokens that were added to the vocabulary, special or not."""
        return dict(self._added)

    def get_chat_template(self) -> str | None:
        """Return the chat template."""
        return self.chat_template

    @property
    def all_special_ids(self) -> list[int]:
        """Return the ids of the special tokens, each once."""
        return list(dict.fromkeys(self._added[token] for token in self.special_tokens_map.values()))

    @property
    def bos_token(self) -> str | None:
        """Return the token that begins a text; None without one."""
        return self.special_tokens_map.get("bos_token")

    @property
    def eos_token(self) -> str | None:
        """Return the token that ends a text or message; None without one."""
        return self.special_tokens_map.get("eos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Return its id."""
        return None if self.eos_token is None else self._added[self.eos_token]


def read_tokenizer(folder: Path, model_type: str) -> LightTokenizer | None:
    """Read a model's tokenizer; None if only transformers can tell what its files mean.

    Args:
        folder: of the model.
        model_type: of its ``config.json``.

    Raises:
        Exception: of the package ``tokenizers``, for an invalid ``tokenizer.json``.
    """
    settings = _settings(folder)
    if settings is None or model_type not in _MODELS or any((folder / name).exists() for name in _OTHER_FILES):
        return None
    special = {name: settings.pop(name) for name in SPECIAL if name in settings}
    others = settings.keys() - _IGNORED
    if settings.get("tokenizer_class") not in _CLASSES or settings.get("clean_up_tokenization_spaces") or others:
        return None
    file, template = folder / CHAT_TEMPLATE, settings.get("chat_template")
    template = file.read_text(encoding="utf-8") if file.is_file() else template
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(folder / FILE))
    if not isinstance(template, str | None) or not _is_complete(backend, special.values()):
        return None
    backend.no_padding()
    backend.no_truncation()
    return LightTokenizer(backend, special, template)


def _is_complete(backend: tokenizers.Tokenizer, special: Iterable[Any]) -> bool:
    """Tell whether transformers would add no token, change none, and not look for known mistakes."""
    added = {token.content: token for token in backend.get_added_tokens_decoder().values()}
    return backend.get_vocab_size(with_added_tokens=True) <= _PATCHED and all(
        isinstance(token, str)
        and token in added
        and all(getattr(added[token], name) == value for name, value in _PLAIN.items())
        for token in special
    )


def _settings(folder: Path) -> dict[str, Any] | None:
    """Return the options in ``tokenizer_config.json`` that are set; None if a file is missing or not a JSON object."""
    if not (folder / FILE).is_file():
        return None
    try:
        content = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return {name: value for name, value in content.items() if value is not None} if isinstance(content, dict) else None
