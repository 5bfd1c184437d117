"""Load the pre-trained model, optionally quantized."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_gen.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_base(folder: Path, quantization: str = "none") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer from a folder, in evaluation mode, on the GPU if there is one.

    ``quantization`` is ``none``, or ``int8`` or ``nf4`` of bitsandbytes; text embeddings are not quantized.

    Raises:
        SourceError: the folder has no causal language model that transformers knows.
        ConfigError: the widths of the model do not fit the blocks of nf4.
    """
    from genre_gen.downloads.third_party_logging import quiet_bitsandbytes, quiet_libraries, quiet_tqdm

    quiet_bitsandbytes()
    quiet_tqdm()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Half precision is slower than single on CPUs without matrix units.
    dtype = torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa", "device_map": {"": device}}
    if quantization != "none":
        options["quantization_config"] = _bitsandbytes(quantization, dtype)
    try:
        with quiet_libraries():
            model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as problem:
        raise SourceError(f"{folder}: not a causal language model that can be loaded: {problem}") from problem
    module: Any
    for module in model.modules():
        check_blocks(module)
        # On AVX512-BF16 a 4-bit layer would pack its weights again at the first inference, and then pass no
        # gradients: adapters would stop learning after the first validation.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
        settle_int8(module)
    return model.eval(), tokenizer


def settle_int8(module: Any) -> None:
    """Make an 8-bit layer of bitsandbytes convert its weights now, since its first call is not thread-safe."""
    if hasattr(module, "init_8bit_state") and getattr(module.weight, "CB", None) is not None:
        module.init_8bit_state()


def check_blocks(module: Any) -> None:
    """Raise ConfigError for a 4-bit layer whose rows are not a whole number of blocks: AVX512 would misread it."""
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    if state is not None and state.shape[-1] % state.blocksize:
        raise ConfigError(
            f"nf4 needs layers whose width is a multiple of {state.blocksize}, and this model has one of "
            f"{state.shape[-1]}; choose int8 or none"
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer; raises SourceError if the folder has none that transformers knows."""
    from transformers import AutoTokenizer

    from genre_gen.downloads.third_party_logging import quiet_libraries

    try:
        with quiet_libraries():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as problem:
        raise SourceError(f"{folder}: the tokenizer cannot be loaded: {problem}") from problem


def _bitsandbytes(quantization: str, dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "nf4":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return BitsAndBytesConfig(load_in_8bit=True)
