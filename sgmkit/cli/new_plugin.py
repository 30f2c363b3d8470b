"""`sgmkit new-plugin`: a project that is installed, checked and tested as it stands."""

import importlib.util
import keyword
import re
import shlex
from importlib import metadata
from typing import Annotated

import typer

from sgmkit.cli.values import one_of
from sgmkit.errors import BadValue

LONGEST = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the project, its plugin and its components.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="sde, solver, evaluator or autoencoder; several with commas.",
            show_default="solver",
        ),
    ] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="Where it goes (./NAME).")] = "",
) -> None:
    """Write a plugin project with a working, tested example of each kind."""
    from pathlib import Path

    from sgmkit import scaffold

    words = [word.strip() for text in kind or ["solver"] for word in text.split(",")]
    for word in words:
        one_of("--kind", word, tuple(scaffold.EXAMPLES))
    kinds = [each for each in scaffold.EXAMPLES if each in words]
    _check_name(name)
    _check_free(name)
    target, files = Path(out or name), scaffold.project(name, kinds)
    scaffold.write(files, target)
    for path in files:
        print(target / path)
    place = shlex.quote(str(target))
    print(f"next: pip install -e {place} && sgmkit check {name} && pytest {place}")


def _check_name(name: str) -> None:
    """Complain unless it names a distribution, a package and components."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        slug = "-".join(re.findall(r"[a-z0-9]+", name.lower())).lstrip("0123456789-")
        hint = f"; did you mean {slug[:LONGEST].rstrip('-')!r}?" if slug else ""
        raise BadValue(
            f"{name!r} cannot name a plugin: at most {LONGEST} lowercase letters, digits and "
            f"single hyphens, beginning with a letter{hint}"
        )
    if keyword.iskeyword(name) or name == "tests":
        why = "is where its tests go" if name == "tests" else "is a word of Python"
        raise BadValue(f"{name!r} {why}, so that no package can have the name{_other(name)}")


def _check_free(name: str) -> None:
    """Complain where something that is installed has the name."""
    from sgmkit import registry
    from sgmkit.registry.hookspecs import KINDS

    for plugin in registry.plugins():
        if name == plugin.name:
            raise BadValue(f"a plugin named {name!r} is installed already{_other(name)}")
    for each in KINDS:
        for offer in registry.offers(each).values():
            if name in offer.words:
                owner = f"plugin {offer.plugin.name!r} offers {each} {name!r} already"
                raise BadValue(f"{owner}{_other(name)}")
    if _distribution(name):
        raise BadValue(f"a distribution named {name!r} is installed already{_other(name)}")
    package = name.replace("-", "_")
    found = importlib.util.find_spec(package)
    if found and found.origin:  # a directory that happens to have the name has none
        raise BadValue(f"a module named {package!r} is there already{_other(name)}")


def _distribution(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _other(name: str) -> str:
    return f"; take another name, such as {f'my-{name}'[:LONGEST].rstrip('-')!r}"
