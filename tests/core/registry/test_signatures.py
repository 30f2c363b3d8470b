"""Signatures of constructors: what they may hold, and what is refused; whole messages."""

from typing import Annotated

import pytest
from annotated_types import Gt

from sgmkit.errors import BadValue, UserError
from sgmkit.registry.options import Schema

KINDS: dict[str, str] = {}


def refused(target):
    with pytest.raises(UserError) as caught:
        Schema.read(target, "solver 'x'", KINDS)
    return str(caught.value).replace(f"{target.__module__}:{target.__qualname__}", "CLASS")


def test_signatures_that_are_refused():
    class Stars:
        def __init__(self, *args: int): ...

    class Keywords:
        def __init__(self, **kwargs: int): ...

    class Bare:
        def __init__(self, churn=0): ...

    class Name:
        def __init__(self, name: str = ""): ...

    class Hidden:
        def __init__(self, churn: int = 0): ...

    Hidden.__init__.__annotations__["churn"] = "Nowhere"

    explicit = "options must be named parameters, each spelt out"
    assert refused(Stars) == f"solver 'x': CLASS takes *args: int; {explicit}"
    assert refused(Keywords) == f"solver 'x': CLASS takes **kwargs: int; {explicit}"
    assert refused(Bare) == "solver 'x': parameter 'churn' of CLASS has no annotation"
    assert refused(Name) == (
        "solver 'x': no option may be called 'name', which names the component"
    )
    assert refused(Hidden) == (
        "solver 'x': parameter 'churn' of CLASS: annotation 'Nowhere' cannot be resolved: "
        "name 'Nowhere' is not defined (imported under TYPE_CHECKING only?)"
    )


def test_text_annotations_resolve_in_the_module_that_wrote_them(tmp_path, monkeypatch):
    (tmp_path / "tw_base_options.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\nfrom typing import Annotated\n"
        "from annotated_types import Gt as Positive\n"
        "@dataclass(frozen=True)\nclass Base:\n    size: Annotated[int, Positive(0)] = 1\n"
    )
    (tmp_path / "tw_child_options.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\nfrom tw_base_options import Base\n"
        "@dataclass(frozen=True)\nclass Child(Base):\n    rate: float = 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import tw_child_options

    schema = Schema.read(tw_child_options.Child, "solver 'child'", KINDS)
    assert schema.values({"size": "3"}) == {"size": 3, "rate": 2.0}
    assert schema.options["size"].annotation == Annotated[int, Gt(0)]
    with pytest.raises(BadValue, match=r"'size' of solver 'child': .* greater than 0, not 0"):
        schema.values({"size": 0})
