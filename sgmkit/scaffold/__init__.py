"""New plugin projects, from the templates beside this file. Imports no torch."""

import secrets
import shutil
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from string import Template

from sgmkit.errors import BadValue, UserError

EXAMPLES = {
    "sde": ("sde", "OrnsteinUhlenbeck", "Ornstein-Uhlenbeck process on a clock"),
    "solver": ("solver", "Midpoint", "explicit midpoint rule on the probability flow"),
    "evaluator": ("evaluator", "Spread", "spread of the samples against that of the data"),
    "autoencoder": ("autoencoder", "Chain", "groups of latents, each drawn given those before"),
}
"""For each kind that has a template: its module, its class and its summary."""

_COMPONENT = """\
    yield Component(
        "$kind",
        "$name",
        "$package.$module:$cls",
        "$summary",
    )"""


def project(name: str, kinds: Sequence[str]) -> dict[str, str]:
    """The files of a plugin ``name`` that offers an example of each kind, path -> text."""
    package = name.replace("-", "_")
    words = {"name": name, "package": package, "versions": _versions()}
    words["offers"] = " and ".join(
        ("an " if kind == "sde" or kind[0] in "ae" else "a ") + kind for kind in kinds
    )
    words["commands"] = "\n".join(_commands(name, kinds))
    parts = [dict(zip(("module", "cls", "summary"), EXAMPLES[kind], strict=True)) for kind in kinds]
    offers = [
        Template(_COMPONENT).substitute(words, kind=kind, **part)
        for kind, part in zip(kinds, parts, strict=True)
    ]
    words["components"] = "\n".join(offers)
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "init.py",
    }
    for kind in kinds:
        files[f"{package}/{EXAMPLES[kind][0]}.py"] = f"{kind}.py"
        files[f"tests/test_{EXAMPLES[kind][0]}.py"] = f"test_{kind}.py"
    return {path: _template(source).substitute(words) for path, source in files.items()}


def write(files: dict[str, str], target: Path) -> None:
    """Write ``files`` under a directory that is empty or not there: all of them or none.

    They are made under a temporary name, and renamed.
    """
    if target.exists() and not target.is_dir():
        raise BadValue(f"'{target}' is a file; choose another --out")
    try:
        if target.exists() and any(target.iterdir()):
            raise BadValue(f"'{target}' is not empty; choose another --out")
        _write(files, target)
    except OSError as error:
        above = isinstance(error, FileExistsError)  # a file where a directory would go
        why = "Not a directory" if above else error.strerror or str(error)
        raise UserError(f"cannot write in '{target}': {why}; choose another --out") from None


def _write(files: dict[str, str], target: Path) -> None:
    place = target if target.exists() else target.parent
    place.mkdir(parents=True, exist_ok=True)
    temporary = place / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        for path, text in files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_text(text, encoding="utf-8")
        if not target.exists():
            temporary.rename(target)
        else:  # not replaced: it may be the working directory
            for path in temporary.iterdir():
                path.rename(target / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _template(name: str) -> Template:
    found = resources.files(__name__) / "template" / f"{name}.txt"
    return Template(found.read_text(encoding="utf-8"))


def _versions() -> str:
    """This minor version and no other: a later one may ask for something else."""
    major, minor = metadata.version("sgmkit").split(".")[:2]
    return f">={major}.{minor},<{major}.{int(minor) + 1}"


def _commands(name: str, kinds: Sequence[str]) -> list[str]:
    """What trains the examples that learn, and compares all with what is there already."""
    judges = [name] if "evaluator" in kinds else []
    solvers = f"--solvers {name},heun" if "solver" in kinds else "--solvers heun,ddim"
    lines = list[list[str]]()
    if "autoencoder" in kinds:
        train = ["sgmkit train", f"--model lsgm:autoencoder={name}", "--network mlp"]
        train += [f"--sde {name}"] if "sde" in kinds else []
        lines.append([*train, "--data digits", "--steps 1000", f"--out runs/{name}"])
        told = ",".join([*judges, "energy-distance", "nll"])
        lines.append([f"sgmkit bench runs/{name}", solvers, f"--evaluators {told}"])
    if "sde" in kinds or "autoencoder" not in kinds:
        process = f"{name},vp" if "sde" in kinds else "vp,cld"
        told = [f"--evaluators {name},energy-distance"] if judges else []
        lines.append(["sgmkit bench", solvers, f"--sde {process}", *told])
    return [" ".join(line) for line in lines]
