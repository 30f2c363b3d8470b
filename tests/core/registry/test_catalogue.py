"""Components named, resolved and built; whole messages."""

import pytest
from conftest import COMPONENTS, KINDS
from support.throwaway import hook

from sgmkit import registry
from sgmkit.errors import BadValue, Incompatible, UnknownName, UserError
from sgmkit.registry import catalogue
from sgmkit.registry.catalogue import PluginInfo, Registry


def message(kind, function, *args, **options):
    with pytest.raises(UserError) as caught:
        function(*args, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- names -----------------------------------------------------------------------------------


def test_bare_names_aliases_and_qualified_names(good):
    for name in ("heun", "edm-heun", "tw_good/heun", "tw_good/edm-heun"):
        offer = good.find("solver", name)
        assert (offer.qualified, offer.plugin.version) == ("tw_good/heun", "2.3")


def test_unknown_names(good):
    find = good.find
    assert message(UnknownName, find, "solver", "hune") == (
        "no solver named 'hune'; did you mean 'heun'? (sgmkit list solver shows all 1)"
    )
    assert message(UnknownName, find, "sde", "zzz") == (
        "no sde named 'zzz' (sgmkit list sde shows all 2)"
    )
    assert message(UnknownName, find, "sde", "tw_god/cld") == (
        "no sde named 'tw_god/cld'; did you mean 'tw_good/cld'? (sgmkit list sde shows all 2)"
    )
    assert message(UnknownName, find, "solvr", "heun") == (
        "no kind 'solvr'; did you mean 'solver'? (kinds: solver, sde, model)"
    )
    empty = Registry({**KINDS, "grid": "tw_core:Process"})
    assert message(UnknownName, empty.find, "grid", "edm") == (
        "no grid named 'edm': no plugin offers any grid"
    )


def test_clashing_names(install, good):
    install("tw_other", {"tw_other": hook('"solver", "heun", "tw_good.parts:Heun", "mine"')})
    both = Registry(KINDS)
    assert list(both.components("solver")) == ["tw_good/heun", "tw_other/heun"]
    assert message(UserError, both.find, "solver", "heun") == (
        "solver 'heun' is offered by 2 plugins: say tw_good/heun or tw_other/heun"
    )
    assert both.resolve("solver", "tw_other/heun:churn=1").label == "tw_other/heun:churn=1"
    assert both.find("solver", "edm-heun").qualified == "tw_good/heun"


def test_an_alias_clashes_with_a_name(install, good):
    install("tw_other", {"tw_other": hook('"solver", "edm-heun", "tw_good.parts:Heun", "mine"')})
    both = Registry(KINDS)
    assert list(both.components("solver")) == ["heun", "tw_other/edm-heun"]
    assert message(UserError, both.find, "solver", "edm-heun") == (
        "solver 'edm-heun' is offered by 2 plugins: say tw_good/heun or tw_other/edm-heun"
    )


# --- targets ---------------------------------------------------------------------------------


WRAPPED = """
try:
    import tw_cuda.kernels
except ImportError:
    raise RuntimeError("please read the manual")
"""


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (
            '"tw_bad.absent:X", ""',
            " cannot be imported: ModuleNotFoundError: No module named 'tw_bad.absent'",
        ),
        (
            '"tw_bad.heavy:X", "", extra="gpu"',
            " needs the package 'tw_cuda': pip install 'tw-dist[gpu]'",
        ),
        (
            '"tw_bad.heavy:X", ""',
            " cannot be imported: ModuleNotFoundError: No module named 'tw_cuda' "
            "(tw_bad/heavy.py:1)",
        ),
        (  # the missing package is imported by a module that the component imports
            '"tw_bad.above:X", "", extra="gpu"',
            " needs the package 'tw_cuda': pip install 'tw-dist[gpu]'",
        ),
        (  # a library that says it in other words
            '"tw_bad.wrapped:X", "", extra="gpu"',
            " needs the package 'tw_cuda': pip install 'tw-dist[gpu]'",
        ),
        (  # a library that asks for more by hand
            '"tw_bad.old:X", "", extra="gpu"',
            " needs more packages, or newer ones: pip install 'tw-dist[gpu]' (too old)",
        ),
        (  # a mistake of the plugin is no missing package
            '"tw_bad.typo:X", "", extra="gpu"',
            " cannot be imported: ModuleNotFoundError: No module named 'tw_bad.absent' "
            "(tw_bad/typo.py:1)",
        ),
        (
            '"tw_bad.wrong:X", ""',
            " cannot be imported: ZeroDivisionError: division by zero (tw_bad/wrong.py:2)",
        ),
        ('"tw_bad.parts:X", ""', ": module tw_bad.parts has no class X"),
        ('"tw_bad.parts:Vp", ""', ": tw_bad.parts:Vp is not a subclass of tw_core:Solver"),
        ('"tw_bad.parts:Unfinished", ""', ": tw_bad.parts:Unfinished does not define solve"),
    ],
)
def test_targets_that_cannot_be_used(install, target, reason):
    modules = {
        "tw_bad": hook(f'"solver", "x", {target}'),
        "tw_bad.heavy": "import tw_cuda",
        "tw_bad.above": "import tw_bad.heavy",
        "tw_bad.wrapped": WRAPPED,
        "tw_bad.old": "raise ImportError('too old')",
        "tw_bad.typo": "import tw_bad.absent",
        "tw_bad.wrong": "\n1 / 0",
        "tw_bad.parts": COMPONENTS,
    }
    install("tw-dist", modules, {"tw_bad": "tw_bad"})
    load = Registry(KINDS).load
    assert message(UserError, load, "solver", "x") == f"solver 'x' of plugin 'tw_bad'{reason}"


def test_a_missing_package_disables_only_what_needs_it(install):
    offers = (
        '"solver", "x", "tw_bad.heavy:X", "", extra="gpu"',
        '"sde", "vp", "tw_bad.parts:Vp", ""',
    )
    modules = {
        "tw_bad": hook(*offers),
        "tw_bad.heavy": "import tw_cuda",
        "tw_bad.parts": COMPONENTS,
    }
    install("tw_bad", modules)
    registry = Registry(KINDS)
    assert list(registry.components("solver")) == ["x"]
    assert registry.create("sde", "vp").beta == 20
    for name in ("x", "tw_bad/x"):
        assert message(UserError, registry.resolve, "solver", name) == (
            "solver 'x' of plugin 'tw_bad' needs the package 'tw_cuda': pip install 'tw_bad[gpu]'"
        )


# --- options ---------------------------------------------------------------------------------


def test_wrong_options(good):
    resolve, create = good.resolve, good.create
    assert message(UnknownName, resolve, "solver", "heun:chrun=1") == (
        "unknown option 'chrun' for solver 'heun'; did you mean 'churn'? "
        "(options: churn, s_max, last)"
    )
    assert message(BadValue, create, "solver", "heun", churn=-1) == (
        "option 'churn' of solver 'heun': input should be greater than or equal to 0, not -1"
    )
    assert message(UnknownName, resolve, "model", "exact:sde=vpp") == (
        "no sde named 'vpp'; did you mean 'vp'? (sgmkit list sde shows all 2)"
    )
    assert message(BadValue, resolve, "model", "exact:sde=(vp:beta=x)") == (
        "option 'beta' of sde 'vp': input should be a valid number, not 'x'"
    )
    assert message(BadValue, resolve, "model", "exact:sde=vp:backup=vp") == (
        "option 'backup' of model 'exact': expected a Cld, which 'vp' is not"
    )
    for wrong, shown in [(3, "3"), (None, "None")]:
        assert message(BadValue, resolve, "model", "exact", sde=wrong) == (
            "option 'sde' of model 'exact': expected the name of a component of kind sde, "
            f"not {shown}"
        )
    for wrong, shown in [(3, "3"), ({"beta": 1}, "{'beta': 1}")]:
        assert message(BadValue, resolve, "sde", wrong) == (
            f"expected the name of a component of kind sde, not {shown}"
        )
    assert message(BadValue, resolve, "sde", resolve("solver", "heun")) == (
        "expected the name of a component of kind sde, not the solver 'heun'"
    )
    assert message(BadValue, create, "model", "exact", sde="vp") == (
        "model 'exact' cannot be built without event"
    )


def test_what_a_constructor_refuses_names_the_component(good):
    assert message(BadValue, good.create, "solver", "heun:churn=2:s_max=1") == (
        "solver 'heun': churn 2.0 exceeds s_max 1.0"
    )
    assert message(Incompatible, good.create, "solver", "heun:churn=2:last=heun") == (
        "heun: no churn in the last step"
    )


def test_the_module_functions_share_one_registry(good, monkeypatch):
    monkeypatch.setattr(catalogue._default, "kinds", KINDS)
    registry.reset()
    import sgmkit

    assert sgmkit.create("sde", "vp") == registry.resolve("sde", "vp").build()
    assert [x.name for x in registry.plugins()] == ["tw_good"]
    assert isinstance(registry.plugins()[0], PluginInfo)
    assert list(sgmkit.components("solver")) == ["heun"]
    assert len({sgmkit.resolve("sde", "vp"), sgmkit.resolve("sde", "tw_good/vp")}) == 1
    registry.reset()


def test_time_grid(install, monkeypatch):
    source = (
        "class Grid:\n"
        "    def __call__(self, *args): return self.times(*args)\n"
        "class Power(Grid):\n"
        "    def __init__(self, rho: float = 1): self.rho = rho\n"
        "    def times(self, sde, steps, t_min): return self.rho, sde, steps, t_min\n"
    )
    plugin = hook('"grid", "power", "tw_grids.parts:Power", ""')
    install("tw_grids", {"tw_grids": plugin, "tw_grids.parts": source})
    monkeypatch.setattr(catalogue._default, "kinds", {"grid": "tw_grids.parts:Grid"})
    registry.reset()
    assert registry.time_grid("power:rho=3", None, 10, 1e-3) == (3.0, None, 10, 1e-3)
    registry.reset()
