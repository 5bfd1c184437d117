"""Load the pre-trained model, optionally quantized."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_gen.errors import ConfigError, SourceError
from genre_gen.llm.tokenizer import LightTokenizer, read_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

CONFIG = "config.json"
MAX_CONFIG, MAX_TOKENIZER = 1 << 20, 200 << 20  # bytes
LARGEST = {
    "num_hidden_layers": 512, "hidden_size": 65_536, "intermediate_size": 1 << 20, "num_attention_heads": 1024,
    "vocab_size": 4_000_000,
}  # fmt: skip
"""Sizes beyond which no model is taken: to build one takes memory before its weights are looked at."""
MAX_TOKENS_PER_CHARACTER = 16
PROBES = ("a" * 400, "Toy Story (1995) " * 24, "日本\n\t\u200d" * 80)
_LOADING = frozenset((
    "auto_map", "_name_or_path", "_commit_hash", "transformers_weights", "experts_implementation",
    "_experts_implementation", "kernel_config", "use_kernels", "dtype", "torch_dtype",
))  # fmt: skip


def load_base(folder: Path, quantization: str = "none") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer from a folder; see :func:`load_model` and :func:`load_tokenizer`."""
    return load_model(folder, quantization), load_tokenizer(folder)


def placement() -> tuple[torch.device, torch.dtype]:
    """Return the device for language models, the GPU if there is one, and the precision of their weights there."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Half precision is slower than single on CPUs without matrix units.
    half = device == "cuda" and torch.cuda.is_bf16_supported()
    return torch.device(device), torch.bfloat16 if half else torch.float32


def load_model(folder: Path, quantization: str = "none") -> PreTrainedModel:
    """Load a model from a folder, in evaluation mode, on the GPU if there is one.

    Args:
        folder: of safetensors and ``config.json``, of which only what describes the model is taken.
        quantization: ``none``, or ``int8`` or ``nf4`` of bitsandbytes; text embeddings stay as they are.

    Raises:
        SourceError: the folder holds no causal language model that transformers knows, or not all of its weights.
        ConfigError: nf4 of a model whose widths do not fit its blocks.
    """
    from genre_gen.downloads.third_party_logging import quiet_bitsandbytes, quiet_tqdm

    quiet_bitsandbytes()
    quiet_tqdm()
    from transformers import AutoModelForCausalLM

    device, dtype = placement()
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa", "device_map": {"": device}}
    if quantization != "none":
        options["quantization_config"] = _bitsandbytes(quantization, dtype)
    with quiet(folder, "a causal language model"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=model_config(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    model, about = loaded
    if missing := sorted(about["missing_keys"]):
        raise SourceError(f"{folder}: lacks {len(missing)} weights, the first is {missing[0]}; copy it again")
    module: Any
    for module in model.modules():
        check_blocks(module)
        # On AVX512-BF16 a 4-bit layer would pack its weights again at the first inference, and then pass no
        # gradients: adapters would stop learning after the first validation.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
        settle_int8(module)
    return model.eval()  # type: ignore[no-any-return]


def plain_config(folder: Path) -> dict[str, Any]:
    """Return what a model's ``config.json`` says of the model, without what would change how it is loaded here.

    Code that it names, attention kernels and precisions are dropped; a model that is too large to be one is refused.

    Raises:
        SourceError: not a configuration, or of quantized weights.
    """
    file = folder / CONFIG
    with readable(folder, "a causal language model"):
        if file.stat().st_size > MAX_CONFIG:
            raise ValueError(f"{CONFIG} has more than {MAX_CONFIG:,} bytes")
        content = _plain(json.loads(file.read_text(encoding="utf-8")))
        if not isinstance(content, dict):
            raise ValueError(f"{CONFIG} is not a JSON object")
        if quantized := content.get("quantization_config"):
            method = quantized.get("quant_method", "") if isinstance(quantized, dict) else ""
            raise ValueError(f"its weights are quantized ({str(method)[:40]}); give the model as it was before that")
        _check_sizes(content)
    return content


def model_config(folder: Path) -> PretrainedConfig:
    """Return a model's configuration for transformers; see :func:`plain_config`.

    Raises:
        SourceError: not a configuration of a model that transformers knows, or of quantized weights.
    """
    from transformers import CONFIG_MAPPING

    content = plain_config(folder)
    with quiet(folder, "a causal language model"):
        kind = content.pop("model_type", None)
        if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
            raise ValueError(
                f"its model_type {str(kind)[:40]!r} is none that transformers knows without code of its own"
            )
        config = CONFIG_MAPPING[kind].from_dict(content)
        _check_sizes({name: getattr(config, name, None) for name in LARGEST})
    return config


def _check_sizes(content: Mapping[str, Any]) -> None:
    """Raise ValueError for a size that no model has; a value that is missing gets the default of its kind."""
    for name, largest in LARGEST.items():
        if (size := content.get(name)) is not None and not 0 < size <= largest:
            raise ValueError(f"{name} is {str(size)[:40]}, and at most {largest:,} is taken")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone.

    Raises:
        SourceError: the folder holds none that transformers knows, or one that makes many tokens of few characters.
    """
    from transformers import AutoTokenizer

    with quiet(folder, "a tokenizer"):
        _check_files(folder)
        # Its class and special tokens are read from files; config.json could name another place.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=model_config(folder), local_files_only=True, trust_remote_code=False
        )
        _check_growth(tokenizer)
    return tokenizer


def load_light_tokenizer(folder: Path) -> LightTokenizer | PreTrainedTokenizerBase:
    """Load a tokenizer for prompts, without transformers where the folder allows it.

    Raises:
        SourceError: as :func:`load_tokenizer`.
    """
    kind = plain_config(folder).get("model_type")
    with readable(folder, "a tokenizer"):
        _check_files(folder)
        if (tokenizer := read_tokenizer(folder, str(kind))) is None:
            return load_tokenizer(folder)
        _check_growth(tokenizer)
    return tokenizer


def _check_files(folder: Path) -> None:
    large = [file.name for file in folder.glob("*token*") if file.stat().st_size > MAX_TOKENIZER]
    if large:
        raise ValueError(f"{large[0]} has more than {MAX_TOKENIZER:,} bytes")


def _check_growth(tokenizer: Any) -> None:
    """Raise ValueError for a tokenizer that makes many tokens of few characters."""
    for probe in PROBES:
        count = len(tokenizer(probe, add_special_tokens=False, verbose=False).input_ids)
        if count > MAX_TOKENS_PER_CHARACTER * len(probe):
            raise ValueError(f"its tokenizer makes {count:,} tokens of {len(probe)} characters")


@contextmanager
def quiet(folder: Path, what: str) -> Iterator[None]:
    """Silence the libraries and turn whatever they raise of a folder into one line; imports transformers."""
    from genre_gen.downloads.third_party_logging import quiet_libraries

    with readable(folder, what), quiet_libraries():
        yield


@contextmanager
def readable(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever is raised of a folder into one line; raises SourceError."""
    try:
        yield
    except SourceError:
        raise
    except BaseException as problem:  # a panic of the tokenizer's Rust code is not an Exception
        if not isinstance(problem, Exception) and type(problem).__name__ != "PanicException":
            raise
        reason = " ".join(str(problem).split())[:300] or type(problem).__name__
        raise SourceError(f"{folder}: not {what} that can be loaded: {reason}") from problem


def _plain(value: Any) -> Any:
    """Return a configuration without the keys that say how, and with what code, a model is loaded."""
    if isinstance(value, dict):
        return {
            key: _plain(inner)
            for key, inner in value.items()
            if key not in _LOADING and not key.endswith(("attn_implementation", "attn_implementation_internal"))
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def settle_int8(module: Any) -> None:
    """Make an 8-bit layer of bitsandbytes convert its weights now, since its first call is not thread-safe."""
    if hasattr(module, "init_8bit_state") and getattr(module.weight, "CB", None) is not None:
        module.init_8bit_state()


def settle_nf4(module: Any) -> None:
    """Make a 4-bit layer of bitsandbytes pack its weights now: two threads in its first call would pack them twice."""
    import torch

    if getattr(module, "support_avx512bf16_for_cpu", False) and module.weight.device.type == "cpu":
        module.eval()(torch.zeros(1, module.in_features))


def check_blocks(module: Any) -> None:
    """Raise ConfigError for a 4-bit layer whose rows are not a whole number of blocks: AVX512 would misread it."""
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    if state is not None and state.shape[-1] % state.blocksize:
        raise ConfigError(
            f"nf4 needs layers whose width is a multiple of {state.blocksize}, and this model has one of "
            f"{state.shape[-1]}; choose int8 or none"
        )


def _bitsandbytes(quantization: str, dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "nf4":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return BitsAndBytesConfig(load_in_8bit=True)
