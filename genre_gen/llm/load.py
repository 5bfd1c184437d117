"""Loading the pre-trained model, quantized where asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_gen.errors import SourceError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_base(folder: Path, quantization: str = "none") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer from a folder, in evaluation mode, on the GPU where there is one.

    Args:
        folder: what :func:`genre_gen.llm.sources.ensure_model` returns.
        quantization: ``none``; ``int8`` or ``nf4`` (bitsandbytes, text embeddings stay as they are).

    Raises:
        SourceError: the folder holds no causal language model that transformers knows.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from genre_gen.llm.quiet import quiet_libraries

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Half precision is slower than single on CPUs without matrix units, and the exact one is what results are told in.
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
    return model.eval(), tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone; raises SourceError when the folder holds none that transformers knows."""
    from transformers import AutoTokenizer

    from genre_gen.llm.quiet import quiet_libraries

    try:
        with quiet_libraries():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as problem:
        raise SourceError(f"{folder}: no tokenizer that can be loaded: {problem}") from problem


def _bitsandbytes(quantization: str, dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    from genre_gen.llm.quiet import quiet_bitsandbytes

    if quantization == "nf4":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    quiet_bitsandbytes()
    return BitsAndBytesConfig(load_in_8bit=True)
