"""What takes the space of a saved recommender?

    python -m eval.serving.folder_size RUN

The megabytes of each file of the folder, and of each array of the members with its type and shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from eval.bench.results import record, table
from eval.bench.script import new_parser, script

MB = 1e6
MEMBERS = "members"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    with script(new_parser(__doc__, "demo run"), arguments) as options:
        content = measured(options.run)
        files = sorted(content["files"].items(), key=lambda entry: -entry[1])
        rows = [(name, f"{size / MB:.2f}", "") for name, size in files]
        rows += [(name, f"{size / MB:.2f}", arrays) for name, size, arrays in content["arrays"]]
        text = table(("", "MB", "type and shape"), [("all files", f"{content['bytes'] / MB:.1f}", ""), *rows])
        record(options.out, "folder_size", options.run.name, content, text)
        print(text)


def measured(run: Path) -> dict[str, Any]:
    """Return the bytes of a folder, of each of its files, and of each array of the members with its type and shape."""
    files = {str(file.relative_to(run)): file.stat().st_size for file in sorted(run.rglob("*")) if file.is_file()}
    arrays = []
    for file in sorted((run / MEMBERS).glob("*.safetensors")):
        with safe_open(file, framework="numpy") as saved:
            for name in saved.keys():  # noqa: SIM118 - not a dict
                array = saved.get_tensor(name)
                arrays.append((f"{file.stem}: {name}", array.nbytes, f"{array.dtype} {list(array.shape)}"))
    return {"bytes": sum(files.values()), "files": files, "arrays": arrays}


if __name__ == "__main__":
    main()
