"""Plugin projects from templates, written entirely or not at all. Imports no torch."""

import secrets
import shutil
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from string import Template

from sgmkit.errors import BadValue, UserError

EXAMPLES = {
    "sde": ("OrnsteinUhlenbeck", "Ornstein-Uhlenbeck process on a clock"),
    "network": ("Residual", "residual network on the flattened input, for data of any shape"),
    "model": ("NoiseMatching", "noise prediction, trained at uniform times"),
    "autoencoder": ("Chain", "groups of latents, each drawn given the groups before it"),
    "solver": ("Midpoint", "explicit midpoint rule on the probability flow"),
    "grid": ("Power", "equal steps in a power of t"),
    "dataset": ("Rings", "concentric rings in the plane, labelled from the inside out"),
    "evaluator": ("Spread", "spread of the samples against that of the data"),
    "extractor": ("Patches", "mean and spread of the pixels in each patch of an image"),
}
"""For each kind: the class of its example and a summary. The module has the name of the kind."""

_COMPONENT = """\
    yield Component(
        "$kind",
        "$name",
        "$package.$kind:$cls",
        "$summary",
    )"""


def project(name: str, kinds: Sequence[str]) -> dict[str, str]:
    """The files of a plugin that offers an example of each kind.

    Args:
        name: of the project, the plugin and each component, in kebab-case.
        kinds: keys of `EXAMPLES`.

    Returns:
        Text by path, relative to the project's directory.
    """
    package = name.replace("-", "_")
    words = {"name": name, "package": package, "versions": _versions()}
    words["offers"] = " and ".join(
        ("an " if kind == "sde" or kind[0] in "ae" else "a ") + kind for kind in kinds
    )
    words["commands"] = "\n".join(_commands(name, kinds))
    words["components"] = "\n".join(
        Template(_COMPONENT).substitute(words, kind=kind, cls=cls, summary=summary)
        for kind, (cls, summary) in ((kind, EXAMPLES[kind]) for kind in kinds)
    )
    sources = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "init.py",
    }
    for kind in kinds:
        sources[f"{package}/{kind}.py"] = f"{kind}.py"
        sources[f"tests/test_{kind}.py"] = f"test_{kind}.py"
    return {path: _template(source).substitute(words) for path, source in sources.items()}


def write(files: dict[str, str], target: Path) -> None:
    """Write ``files`` into ``target``, a directory that is empty or does not exist.

    They are written under a temporary name and then renamed, so that all appear or none.

    Raises:
        BadValue: if the directory is not empty, or is a file.
        UserError: if it cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise BadValue(f"'{target}' is a file; choose another --out")
    try:
        if target.exists() and any(target.iterdir()):
            raise BadValue(f"'{target}' is not empty; choose another --out")
        _write(files, target)
    except OSError as error:
        blocked = isinstance(error, FileExistsError)  # a file stands where a directory must go
        why = "Not a directory" if blocked else error.strerror or str(error)
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
        else:  # the directory itself stays: it may be the working directory
            for path in temporary.iterdir():
                path.rename(target / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _template(name: str) -> Template:
    path = resources.files("sgmkit.scaffold") / "template" / f"{name}.txt"
    return Template(path.read_text(encoding="utf-8"))


def _versions() -> str:
    """Requirement of this minor version: a later one may require something else of plugins."""
    major, minor = metadata.version("sgmkit").split(".")[:2]
    return f">={major}.{minor},<{major}.{int(minor) + 1}"


def _commands(name: str, kinds: Sequence[str]) -> list[str]:
    """The commands of the page: they train what can be trained, then compare it with others."""
    evaluators = [name] if "evaluator" in kinds else []
    grid = [f"--grid {name},logsnr"] if "grid" in kinds else []
    sde = [f"--sde {name}"] if "sde" in kinds else []
    bench = [f"--solvers {name},heun" if "solver" in kinds else "--solvers heun,ddim", *grid]
    judges = [f"--evaluators {name},energy-distance"] if evaluators else []
    lines = list[list[str]]()
    if {"network", "model", "dataset"} & {*kinds}:
        train = ["sgmkit train", *([f"--model {name}"] if "model" in kinds else []), *sde]
        train += [f"--network {name}" if "network" in kinds else "--network mlp"]
        train += [f"--data {name}" if "dataset" in kinds else "--data two-moons"]
        lines.append([*train, "--steps 1000", f"--out runs/{name}"])
        lines.append([f"sgmkit bench runs/{name}", *bench, *judges])
    if "autoencoder" in kinds:
        run = f"runs/{name}-latent"
        train = ["sgmkit train", f"--model lsgm:autoencoder={name}", "--network mlp", *sde]
        lines.append([*train, "--data digits", "--steps 1000", f"--out {run}"])
        names = ",".join([*evaluators, "energy-distance", "nll"])
        lines.append([f"sgmkit bench {run}", *bench, f"--evaluators {names}"])
    if {"sde", "solver", "grid", "evaluator"} & {*kinds}:
        processes = f"--sde {name},vp" if "sde" in kinds else "--sde vp,cld"
        lines.append(["sgmkit bench", *bench, processes, *judges])
    if "extractor" in kinds:
        exact = ["sgmkit bench", *bench, "--model exact --sde vp --data digits"]
        lines.append([*exact, f"--evaluators fid:extractor={name}"])
    return [" ".join(line) for line in lines]
