"""Options: text, schemas read from signatures, and every message in full."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Interval
from typing_extensions import Doc

from sgmkit.errors import BadValue, UnknownName, UserError
from sgmkit.registry.options import REQUIRED, Schema, parse, parse_list, spell


class Process:
    """Stands in for a base class of components."""


class Clocked(Process):
    pass


KINDS = {"sde": f"{__name__}:Process"}


@dataclass(frozen=True)
class Heun:
    churn: Annotated[float, Ge(0), Doc("how much")] = 0
    s_max: float = math.inf
    last: Literal["euler", "heun"] = "euler"
    levels: Annotated[tuple[int, ...], Doc("widths")] = (1, 2)
    blocks: tuple[tuple[int, int], ...] = ()
    scale: float | None = None
    clip: bool = False
    rate: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    names: list[str] = field(default_factory=lambda: ["a"])
    order: Literal[1, 2, "all"] = 2


HEUN = Schema.read(Heun, "solver 'heun'", KINDS)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("heun", ("heun", {})),
        ("solvers/heun:churn=0.5", ("solvers/heun", {"churn": "0.5"})),
        (" heun : churn = 0.5 : last = heun ", ("heun", {"churn": "0.5", "last": "heun"})),
        ("heun:levels=(1,2):last=heun", ("heun", {"levels": "1,2", "last": "heun"})),
        ("exact:sde=(cld:gamma=1)", ("exact", {"sde": "cld:gamma=1"})),
        ("heun:blocks=(1,2),(3,4)", ("heun", {"blocks": "(1,2),(3,4)"})),
        ("file:path=a=b", ("file", {"path": "a=b"})),
        ("file:path=", ("file", {"path": ""})),
    ],
)
def test_parse(text, parsed):
    assert parse(text) == parsed


def test_parse_list_splits_outside_brackets_only():
    assert parse_list("heun:churn=0.5:s_noise=1.003,rk45, x/unet:levels=(1,2)") == [
        ("heun", {"churn": "0.5", "s_noise": "1.003"}),
        ("rk45", {}),
        ("x/unet", {"levels": "1,2"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heun:churn", "heun:churn: expected key=value"),
        ("heun:", "heun:: expected key=value"),
        ("heun:a=1:=2", "heun:=2: expected key=value"),
        ("heun:a b=2", "heun:a b=2: expected key=value"),
        ("", "expected name[:key=value]..., not ''"),
        (":churn=1", "expected name[:key=value]..., not ':churn=1'"),
        ("heun:a=1:a=2", "heun:a=1:a=2: option 'a' is given twice"),
        ("heun:a=(1", "heun:a=(1: unbalanced brackets"),
        ("heun:a=1)", "heun:a=1): unbalanced brackets"),
    ],
)
def test_malformed_text(text, message):
    with pytest.raises(BadValue) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["", "heun,", ",heun", "heun,,rk45"])
def test_malformed_list(text):
    with pytest.raises(BadValue) as caught:
        parse_list(text)
    assert str(caught.value) == f"expected names separated by commas, not {text!r}"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("churn", "0.5", 0.5),
        ("churn", 2, 2.0),
        ("s_max", "inf", math.inf),
        ("s_max", "Infinity", math.inf),
        ("last", "heun", "heun"),
        ("levels", "3,4,5", (3, 4, 5)),
        ("levels", "(3,)", (3,)),
        ("levels", "7", (7,)),
        ("levels", "", ()),
        ("levels", [3, 4], (3, 4)),
        ("blocks", "((1,2),(3,4))", ((1, 2), (3, 4))),
        ("blocks", "((1,2),)", ((1, 2),)),
        ("scale", "none", None),
        ("scale", "0.1", 0.1),
        ("clip", "true", True),
        ("order", "1", 1),
        ("order", "all", "all"),
        ("names", "[x, y]", ["x", "y"]),
    ],
)
def test_values_are_coerced(name, text, value):
    read = HEUN.values({name: text})[name]
    assert (read, type(read)) == (value, type(value))


def test_defaults_are_coerced_and_in_order():
    values = HEUN.values({})
    assert values == HEUN.defaults()
    assert list(values) == list(HEUN.options)
    assert type(values["churn"]) is float
    assert values["names"] == ["a"]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, 0.5),
        (float, 1.0),
        (float, 1e-9),
        (float, math.inf),
        (float | None, None),
        (bool, True),
        (str, "a:b,(c)"),
        (str | None, None),
        (Literal[1, 2], 1),
        (tuple[int, ...], (1, 2)),
        (tuple[int, ...], (1,)),
        (tuple[int, ...], ()),
        (tuple[tuple[int, ...], ...], ((1, 2), (3,))),
        (tuple[tuple[int, ...], ...], ((1, 2),)),
        (tuple[float, ...] | None, (0.5, 1.0)),
        (list[str], ["a", "b"]),
    ],
)
def test_spelling_reads_back(annotation, value):
    class Holder:
        def __init__(self, x=None): ...

    Holder.__init__.__annotations__["x"] = annotation
    _, options = parse(f"holder:x={spell(value)}")
    assert Schema.read(Holder, "x 'holder'", KINDS).values(options) == {"x": value}


LIST = "options: churn, s_max, last, levels, blocks, scale, clip, rate, names, order"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"chrun": 1},
            UnknownName,
            f"unknown option 'chrun' for solver 'heun'; did you mean 'churn'? ({LIST})",
        ),
        ({"zzzz": 1}, UnknownName, f"unknown option 'zzzz' for solver 'heun' ({LIST})"),
        (
            {"churn": "-1"},
            BadValue,
            "option 'churn' of solver 'heun': input should be greater than or equal to 0, not -1",
        ),
        (
            {"churn": -1},
            BadValue,
            "option 'churn' of solver 'heun': input should be greater than or equal to 0, not -1",
        ),
        (
            {"churn": "nan"},
            BadValue,
            "option 'churn' of solver 'heun': input should be greater than or equal to 0, not nan",
        ),
        (
            {"churn": "much"},
            BadValue,
            "option 'churn' of solver 'heun': input should be a valid number, not 'much'",
        ),
        (
            {"last": "rk4"},
            BadValue,
            "option 'last' of solver 'heun': input should be 'euler' or 'heun', not 'rk4'",
        ),
        (
            {"order": "3"},
            BadValue,
            "option 'order' of solver 'heun': input should be 1, 2 or 'all', not 3",
        ),
        (
            {"levels": "1,x"},
            BadValue,
            "option 'levels' of solver 'heun': input should be a valid integer, not 'x'",
        ),
        (
            {"rate": 1},
            BadValue,
            "option 'rate' of solver 'heun': input should be less than 1, not 1",
        ),
        (
            {"clip": "a\nb"},
            BadValue,
            r"option 'clip' of solver 'heun': input should be a valid boolean, not 'a\nb'",
        ),
    ],
)
def test_wrong_options(options, kind, message):
    with pytest.raises(kind) as caught:
        HEUN.values(options)
    assert str(caught.value) == message


def test_a_component_without_options_says_so():
    class Plain:
        pass

    schema = Schema.read(Plain, "solver 'plain'", KINDS)
    assert (schema.options, schema.supplied) == ({}, ())
    with pytest.raises(UnknownName) as caught:
        schema.values({"a": 1})
    assert str(caught.value) == "unknown option 'a' for solver 'plain' (it has none)"


def test_names_of_pydantic_attributes_are_ordinary_options():
    class Odd:
        def __init__(self, copy: int = 1, model_config: int = 2, json: int = 3, _x: int = 4): ...

    schema = Schema.read(Odd, "solver 'odd'", KINDS)
    assert schema.values({"copy": "5"}) == {"copy": 5, "model_config": 2, "json": 3, "_x": 4}


def test_components_and_supplied_parameters_are_distinguished():
    class Model:
        def __init__(
            self,
            event: tuple[int, ...],
            sde: Annotated[Clocked, Doc("the process")],
            *,
            other: Process | None = None,
            width: int = 3,
        ): ...

    schema = Schema.read(Model, "model 'm'", KINDS)
    assert schema.supplied == ("event",)
    assert [(x.name, x.kind, x.base, x.default, x.optional) for x in schema.components] == [
        ("sde", "sde", Clocked, REQUIRED, False),
        ("other", "sde", Process, None, True),
    ]
    assert schema.defaults() == {"width": 3, "other": None}
    assert schema.values({"sde": "vp", "other": "none"}) == {
        "sde": "vp",
        "other": None,
        "width": 3,
    }
    with pytest.raises(BadValue) as caught:
        schema.values({})
    assert str(caught.value) == (
        "model 'm' needs option 'sde': the name of a component of kind sde (sgmkit list sde)"
    )


def test_an_unusable_type_is_named():
    class Opaque:
        def __init__(self, y: Process | None = None): ...

    with pytest.raises(UserError) as caught:
        Schema.read(Opaque, "solver 'x'", {}).values({})
    assert str(caught.value).startswith("solver 'x': an option's type is not understood: ")
    assert "\n" not in str(caught.value)
