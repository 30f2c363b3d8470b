"""Plugins as real distributions: admitted one by one, whole or not at all; whole messages."""

import re
import sys

import pytest
from conftest import GOOD, KINDS
from support.throwaway import hook

from sgmkit.errors import UnknownName, UserError
from sgmkit.registry import Registry
from sgmkit.registry.hookspecs import Component


def failure():
    """The one plugin of a fresh registry, which failed: stage and reason."""
    (info,) = Registry(KINDS).plugins()
    assert (info.name, info.components) == ("tw_bad", ())
    assert info.traceback.startswith("Traceback")
    text = re.sub(r" \(\S+:\d+\)$", "", info.reason)  # without the place
    assert info.traceback.rstrip().endswith(text.rpartition(": ")[2])
    return info.stage, info.reason


def message(kind, function, *args, **options):
    with pytest.raises(UserError) as caught:
        function(*args, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_plugin_is_admitted_whole_and_imports_no_target(good):
    (info,) = good.plugins()
    assert (info.name, info.distribution, info.version) == ("tw_good", "tw_good", "2.3")
    assert (info.stage, info.reason, info.traceback) == ("", "", "")
    assert [x.name for x in info.components] == ["heun", "vp", "cld", "exact"]
    assert good.components("sde") == {
        "cld": Component("sde", "cld", "tw_good.parts:Cld", "two phases"),
        "vp": Component("sde", "vp", "tw_good.parts:Vp", "one phase"),
    }
    assert "tw_good.parts" not in sys.modules
    assert good.load("sde", "vp").__name__ == "Vp"


def test_failing_at_import(install):
    install("tw_bad", {"tw_bad": "import tw_nowhere"})
    assert failure() == (
        "import",
        "ModuleNotFoundError: No module named 'tw_nowhere' (tw_bad/__init__.py:1)",
    )


def test_leaving_at_import(install):
    install("tw_bad", {"tw_bad": "raise SystemExit('goodbye')"})
    assert failure() == ("import", "SystemExit: goodbye")


def test_failing_in_the_hook_half_way(install):
    source = GOOD.replace("return [", "yield ").replace(", Component", "\n    yield Component")
    source = source.replace("]", "\n    raise RuntimeError('first line\\nlast line')")
    install("tw_bad", {"tw_bad": source})
    assert failure() == ("hook", "RuntimeError: last line (tw_bad/__init__.py:10)")


def test_a_module_without_the_hook(install):
    install("tw_bad", {"tw_bad": ""})
    assert failure() == (
        "hook",
        "it defines no function sgmkit_components marked with @sgmkit.hookimpl",
    )


def test_a_hook_of_another_name(install):
    install("tw_bad", {"tw_bad": GOOD.replace("sgmkit_components", "sgmkit_component")})
    stage, reason = failure()
    assert stage == "hook"
    assert reason.startswith("PluginValidationError: unknown hook 'sgmkit_component' in plugin")


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        (
            '"guidance", "cfg", "a:B", ""',
            "'cfg' is of kind 'guidance', which this sgmkit does not know "
            "(kinds: solver, sde, model); a newer sgmkit may",
        ),
        ('"sde", "VP", "a:B", ""', "name 'VP' of a sde is not in kebab-case"),
        ('"sde", "v_p", "a:B", ""', "name 'v_p' of a sde is not in kebab-case"),
        ('"sde", "vp", "a:B", "", ("V",)', "name 'V' of a sde is not in kebab-case"),
        ('"sde", "vp", "a:B", "", "em"', "aliases of sde 'vp' are not a tuple"),
        ('"sde", "vp", "a.B", ""', "target 'a.B' of sde 'vp' is not 'a.b:C'"),
        ('"sde", "vp", "a:B", "", ("vp",)', "sde 'vp' is offered twice"),
        (
            '"sde", "good", "a:B", ""), Component("sde", "good", "a:C", ""',
            "sde 'good' is offered twice",
        ),
    ],
)
def test_failing_to_validate(install, component, reason):
    install("tw_bad", {"tw_bad": hook(component)})
    assert failure() == ("validate", reason)


def test_offering_something_else_than_components(install):
    install("tw_bad", {"tw_bad": hook().replace("[]", "['heun']")})
    assert failure() == ("validate", "offers 'heun', which is not a Component")


def test_needing_a_newer_sgmkit_is_known_before_the_import(install):
    install(
        "tw_bad",
        {"tw_bad": "raise RuntimeError('imported')"},
        requires=["torch>=1", "sgmkit-extras>=1", "sgmkit>=99,<100"],
    )
    assert failure() == ("version", "needs sgmkit<100,>=99, this is 0.1.0")


@pytest.mark.parametrize(
    "requires", ["sgmkit>=0.1,<0.2", "sgmkit[dev]", 'sgmkit>=99; extra == "future"', "SGMKit"]
)
def test_a_requirement_that_holds(install, requires):
    install("tw_fine", {"tw_fine": GOOD}, requires=[requires])
    assert [plugin.reason for plugin in Registry(KINDS).plugins()] == [""]


def test_two_distributions_that_declare_one_plugin_name(install):
    install("tw_one", {"tw_one": GOOD}, {"twin": "tw_one"})
    install("tw_two", {"tw_two": GOOD}, {"twin": "tw_two"})
    twins = Registry(KINDS).plugins()
    assert [(x.distribution, x.stage, x.reason) for x in twins] == [
        (name, "import", "another distribution also declares a plugin named 'twin'")
        for name in ("tw_one", "tw_two")
    ]
    assert not {"tw_one", "tw_two"} & set(sys.modules)


def test_a_broken_plugin_is_one_line_on_stderr_once_and_disturbs_nobody(install, good, capsys):
    install("tw_bad", {"tw_bad": "import tw_nowhere"})
    for _ in range(2):
        assert list(Registry(KINDS).components("sde")) == ["cld", "vp"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "sgmkit: plugin 'tw_bad' failed at import: ModuleNotFoundError: "
        "No module named 'tw_nowhere' (tw_bad/__init__.py:1) (sgmkit plugins --traceback tw_bad)\n"
    )


def test_strict_raises(install, monkeypatch):
    install("tw_bad", {"tw_bad": "import tw_nowhere"})
    monkeypatch.setenv("SGMKIT_STRICT", "1")
    assert message(UserError, Registry(KINDS).plugins) == (
        "plugin 'tw_bad' failed at import: ModuleNotFoundError: No module named 'tw_nowhere' "
        "(tw_bad/__init__.py:1)"
    )


def test_only_the_listed_plugins_are_loaded(install, good, monkeypatch):
    install("tw_bad", {"tw_bad": "import tw_nowhere"})
    monkeypatch.setenv("SGMKIT_PLUGINS", " tw_good ,")
    assert [plugin.name for plugin in Registry(KINDS).plugins()] == ["tw_good"]
    monkeypatch.setenv("SGMKIT_PLUGINS", "tw_god")
    text = message(UnknownName, Registry(KINDS).plugins)
    assert text.startswith("SGMKIT_PLUGINS: no plugin named 'tw_god'; did you mean 'tw_good'? (")
    assert "tw_bad, tw_good" in text


def test_reset_looks_again(install, good):
    assert len(good.plugins()) == 1
    install("tw_late", {"tw_late": GOOD})
    assert len(good.plugins()) == 1
    good.reset()
    assert [plugin.name for plugin in good.plugins()] == ["tw_good", "tw_late"]
