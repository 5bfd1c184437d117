"""What this machine has, what will be used of it, and what is wrong."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from genre_gen.domain import Domain, ModelSettings
from genre_gen.downloads.archives import DATA, data_folder, find_data
from genre_gen.downloads.models import ON_HUB, WHEELS, find_model, model_folder
from genre_gen.downloads.paths import genre_home
from genre_gen.llm.hardware import GIGABYTE, Advice, Machine, advise, examine_machine

DISTRIBUTION = "genre-gen"
MAIN_PACKAGES = ("torch", "transformers", "outlines", "peft", "bitsandbytes", "scikit-surprise", "polars", "numpy")
UNWANTED = {  # installed by mistake, or harmful next to what we use
    "surprise": "is not Surprise, which is called scikit-surprise, and hides it: run `pip uninstall surprise`.",
    "kernels": "makes bitsandbytes look for code on the hub: run `pip uninstall kernels`.",
}
USUAL_SIZE = 135_000_000  # weights assumed of a model that is not here yet
MILLION = 1e6
PATIENCE = 5.0  # seconds that the hub has to answer


@dataclass(frozen=True)
class Installed:
    """A package that we need: which version is there (None: none), which will do, and whether this one does."""

    name: str
    version: str | None
    wanted: str
    good: bool


@dataclass(frozen=True)
class Place:
    """Data or a model: where it lies or would lie, and whether it is there and whole."""

    name: str
    folder: Path
    ready: bool


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`examine` found: sizes in bytes, ``parameters`` None without the model, ``hub`` None if not asked."""

    machine: Machine
    packages: tuple[Installed, ...]
    home: Path
    free_disk: int
    data: Place | None
    model: Place
    parameters: int | None
    advice: Advice
    hub: bool | None
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> str:
        """Return the diagnosis as JSON."""
        return json.dumps(asdict(self), indent=2, default=str)

    def table(self) -> str:
        """Return the diagnosis as text, a line for each finding, and last what is wrong."""
        rows = [*_machine_rows(self.machine), *_our_rows(self)]
        main = [each for each in self.packages if each.name in MAIN_PACKAGES or not each.good]
        rows.append(("packages", ", ".join(f"{each.name} {each.version or 'missing'}" for each in main)))
        width = max(len(name) for name, _ in rows)
        verdict = [f"! {problem}" for problem in self.problems] or ["Nothing is wrong."]
        return "\n".join([*(f"{name:{width}}  {value}" for name, value in rows), "", *verdict])


def examine(domain: Domain | None = None, llm: str | None = None, *, online: bool = False) -> Diagnosis:
    """Examine the machine for a domain and a language model. Nothing is changed, fetched or asked of the network.

    Args:
        domain: whose data and model to look for; None: the default model only.
        llm: another model than the domain's.
        online: ask whether the model hub answers.

    Raises:
        SourceError: unknown data, or a name that can be no model.
    """
    machine = examine_machine()
    data = _find_data(domain)
    model = _find_model(llm or (domain.model if domain else ModelSettings()).llm)
    parameters = count_parameters(model.folder) if model.ready else None
    packages = _packages()
    home = genre_home()
    disk = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free_disk = shutil.disk_usage(disk).free
    hub = hub_answers() if online else None
    problems = [
        *_package_problems(packages),
        *_machine_problems(machine, disk, free_disk, [place for place in (data, model) if place and not place.ready]),
    ]
    if hub is False and not model.ready and model.name not in {*WHEELS, *ON_HUB}:
        problems.append(
            f"The hub does not answer, and {model.name} is not here: check the network, or name another model."
        )
    advice = advise(machine, parameters or USUAL_SIZE)
    return Diagnosis(machine, packages, home, free_disk, data, model, parameters, advice, hub, tuple(problems))


def count_parameters(folder: Path) -> int:
    """Return the number of weights in a folder's safetensors, from their headers alone."""
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as opened:
            total += sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
    return total


def hub_answers() -> bool:
    """Ask the model hub (``HF_ENDPOINT``) for a sign of life; False also where ``HF_HUB_OFFLINE`` forbids to ask."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    url = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True  # it would not answer this, but it answers
    except (OSError, ValueError):
        return False


def _find_data(domain: Domain | None) -> Place | None:
    if domain is None or domain.data.source is None:
        return None
    source = domain.data.source
    found = find_data(source)
    return Place(source, found or data_folder(source, next(iter(DATA[source]))), found is not None)


def _find_model(name: str) -> Place:
    found = find_model(name)
    return Place(name, found or model_folder(name), found is not None)


def _packages() -> tuple[Installed, ...]:
    """The packages that ours requires; the main ones where it runs from its source folder without being installed."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or ()]
    except importlib.metadata.PackageNotFoundError:
        return tuple(Installed(name, _version(name), "", _version(name) is not None) for name in MAIN_PACKAGES)
    packages = []
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        good = version is not None and requirement.specifier.contains(version, prereleases=True)
        packages.append(Installed(requirement.name, version, str(requirement.specifier), good))
    return tuple(packages)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package_problems(packages: tuple[Installed, ...]) -> Iterator[str]:
    yield from (f"{name} {trouble}" for name, trouble in UNWANTED.items() if _version(name))
    if not _version(DISTRIBUTION):
        yield f"{DISTRIBUTION} is not installed, so few of its packages are checked: run `pip install -e .`."
    for package in packages:
        if not package.good:
            have = f"is {package.version}, wanted is {package.wanted}" if package.version else "is missing"
            yield f"{package.name} {have}: run `pip install '{package.name}{package.wanted}'`."


def _machine_problems(machine: Machine, disk: Path, free_disk: int, missing: list[Place]) -> Iterator[str]:
    """Yield what is wrong with the threads, and with ``disk``, which must hold what is still to be fetched."""
    if machine.threads > machine.cores:
        yield (
            f"torch uses {machine.threads} threads on {machine.cores} cores, which slows all of them:"
            f" set OMP_NUM_THREADS={machine.cores}."
        )
    names = ", ".join(place.name for place in missing)
    if missing and not (disk.is_dir() and os.access(disk, os.W_OK)):
        yield f"{names} cannot be fetched into {disk}: set GENRE_HOME to a folder of yours."
    needed = sum(WHEELS[place.name].size + WHEELS[place.name].room for place in missing if place.name in WHEELS)
    if needed > free_disk:
        yield (
            f"{disk} has {free_disk / GIGABYTE:.1f} GB free and {names} needs {needed / GIGABYTE:.1f} GB:"
            " free some, or set GENRE_HOME to a folder on another disk."
        )


def _machine_rows(machine: Machine) -> list[tuple[str, str]]:
    gpus = [f"{gpu.name}, {gpu.memory / GIGABYTE:.0f} GB" for gpu in machine.gpus]
    return [
        ("system", f"{machine.system}, Python {machine.python}"),
        ("processor", f"{machine.cores} cores, torch uses {machine.threads} threads; {', '.join(machine.cpu_flags)}"),
        ("memory", f"{machine.memory / GIGABYTE:.1f} GB, {machine.free_memory / GIGABYTE:.1f} GB free"),
        ("GPU", "; ".join(gpus) or ("Apple GPU (MPS), not used" if machine.mps else "none that torch can use")),
    ]


def _our_rows(found: Diagnosis) -> list[tuple[str, str]]:
    advice = found.advice
    rows = [("GENRE_HOME", f"{found.home}, {found.free_disk / GIGABYTE:.1f} GB free")]
    for kind, place in (("data", found.data), ("model", found.model)):
        if place is not None:
            state = "ready in" if place.ready else "to be fetched (`genre-gen fetch`) into"
            rows.append((kind, f"{place.name}: {state} {place.folder}"))
    settings = f"device {advice.device}, {advice.dtype}, quantization {advice.quantization}, adapter {advice.adapter}"
    assumed = "" if found.parameters else f", if the model has {USUAL_SIZE / MILLION:.0f} million weights"
    rows.append(("advice", f"{settings}: {advice.reason}{assumed}"))
    rows.append(("in serving", f"quantization {advice.serving}: {advice.serving_reason}"))
    if found.hub is not None:
        rows.append(("model hub", "answers" if found.hub else "does not answer"))
    return rows
