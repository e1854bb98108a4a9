"""Builds the Python stubs and the descriptor set from protos/: `python -m contracts.build` (`make protos`).

Output, never committed: `libs/contracts/rapport/` (stubs and type stubs), `contracts/descriptors.binpb` and
`contracts/service_config/`.
Needs grpcio-tools, which is a build-time dependency only.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
LIBRARY = PACKAGE.parent
ROOT = LIBRARY.parent.parent


def include_paths() -> list[Path]:
    """Folders protoc resolves imports in: ours, google/api from googleapis-common-protos, google/protobuf."""
    import google.api

    return [
        ROOT / "protos",
        Path(next(iter(google.api.__path__))).parent.parent,
        Path(str(files("grpc_tools") / "_proto")),
    ]


def build() -> None:
    """Generates everything; the old output is replaced only when protoc succeeds."""
    from grpc_tools import protoc

    sources = sorted((ROOT / "protos").rglob("*.proto"))
    fresh = LIBRARY / "build" / "stubs"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    descriptors = fresh / "descriptors.binpb"
    code = protoc.main(
        [
            "protoc",
            *(f"-I{path}" for path in include_paths()),
            f"--python_out={fresh}",
            f"--pyi_out={fresh}",
            f"--grpc_python_out={fresh}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={descriptors}",
            *map(str, sources),
        ]
    )
    if code != 0:
        sys.exit(code)
    for folder in [fresh / "rapport", *(path for path in (fresh / "rapport").rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    shutil.rmtree(LIBRARY / "rapport", ignore_errors=True)
    (fresh / "rapport").rename(LIBRARY / "rapport")
    descriptors.rename(PACKAGE / "descriptors.binpb")
    configs = PACKAGE / "service_config"
    shutil.rmtree(configs, ignore_errors=True)
    configs.mkdir()
    for config in (ROOT / "protos").glob("rapport/*/v1/service_config.json"):
        shutil.copy(config, configs / f"{config.parent.parent.name}.json")
    vendor()


def vendor() -> None:
    """Copies the google/api protos we import to the git-ignored third_party/: buf wants them in its workspace."""
    source = include_paths()[1] / "google"
    target = ROOT / "third_party" / "google"
    shutil.rmtree(target, ignore_errors=True)
    for folder in ("api", "rpc", "type", "longrunning"):
        for path in sorted((source / folder).glob("*.proto")):
            (target / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / folder / path.name)


if __name__ == "__main__":
    build()
