"""`sgmkit new-plugin`: writes a plugin project that installs, conforms and passes its tests."""

import importlib.util
import keyword
import re
import shlex
from importlib import metadata
from typing import Annotated

import typer

from sgmkit.cli.values import check_choice
from sgmkit.errors import BadValue
from sgmkit.scaffold import EXAMPLES

LONGEST = 40
"""Characters in a name, at most."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the project, of its plugin and of each component."
        ),
    ],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help=f"Kind of component to write: {', '.join(EXAMPLES)}. Several are separated by "
            "commas.",
            show_default="solver",
        ),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Directory to write.", show_default="./NAME")
    ] = "",
) -> None:
    """Write a plugin project with a working, tested example of each kind."""
    from pathlib import Path

    from sgmkit import scaffold

    words = [word.strip() for text in kind or ["solver"] for word in text.split(",")]
    for word in words:
        check_choice("--kind", word, tuple(EXAMPLES))
    kinds = [each for each in EXAMPLES if each in words]
    _check_name(name)
    _check_free(name)
    target, files = Path(out or name), scaffold.project(name, kinds)
    scaffold.write(files, target)
    for path in files:
        print(target / path)
    place = shlex.quote(str(target))
    print(f"next: pip install -e {place} && sgmkit check {name} && pytest {place}")


def _check_name(name: str) -> None:
    """Complain unless the name can be that of a distribution, a package and components."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        slug = "-".join(re.findall(r"[a-z0-9]+", name.lower())).lstrip("0123456789-")
        hint = f"; did you mean {slug[:LONGEST].rstrip('-')!r}?" if slug else ""
        raise BadValue(
            f"{name!r} cannot name a plugin: at most {LONGEST} lowercase letters, digits and "
            f"single hyphens, beginning with a letter{hint}"
        )
    if keyword.iskeyword(name) or name == "tests":
        why = "is the folder of the tests" if name == "tests" else "is a keyword of Python"
        raise BadValue(f"{name!r} {why} and cannot be a package{_other(name)}")


def _check_free(name: str) -> None:
    """Complain if something that is installed has the name already."""
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
    if _is_installed(name):
        raise BadValue(f"a distribution named {name!r} is installed already{_other(name)}")
    package = name.replace("-", "_")
    spec = importlib.util.find_spec(package)
    if spec and spec.origin:  # a mere directory of that name has no origin
        raise BadValue(f"a module named {package!r} exists already{_other(name)}")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _other(name: str) -> str:
    """The advice that ends each complaint about a name that is taken."""
    return f"; choose another name, such as {f'my-{name}'[:LONGEST].rstrip('-')!r}"
