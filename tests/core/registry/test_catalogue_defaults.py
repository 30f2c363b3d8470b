"""The default components are installed, by qualified names; the core names no other plugin."""

import re
from pathlib import Path

import pytest

from sgmkit import registry
from sgmkit.registry import defaults
from sgmkit.registry.options import parse_list

ROOT = Path(__file__).resolve().parents[3]
KINDS = {
    "MODEL": "model",
    "SDE": "sde",
    "DATASET": "dataset",
    "NETWORK_OF_IMAGES": "network",
    "NETWORK_OF_VECTORS": "network",
    "GRID": "grid",
    "SOLVER": "solver",
    "PREVIEW_SOLVER": "solver",
    "EXACT_MODEL": "model",
    "EXACT_SDES": "sde",
    "EXACT_DATASET": "dataset",
    "CONVERGENCE_DATASET": "dataset",
    "EXACT_EVALUATORS": "evaluator",
    "VECTOR_EVALUATORS": "evaluator",
    "IMAGE_EVALUATOR": "evaluator",
    "LIKELIHOOD": "evaluator",
    "GREY_EXTRACTOR": "extractor",
    "COLOUR_EXTRACTOR": "extractor",
}
NAMES = [name for name in vars(defaults) if name.isupper()]


@pytest.mark.parametrize("name", NAMES)
def test_a_default_is_installed_under_its_qualified_name(name):
    for component, _ in parse_list(getattr(defaults, name)):
        assert registry.find(KINDS[name], component).qualified == component


def test_the_core_names_no_component_elsewhere():
    plugins = "|".join(plugin.name for plugin in registry.plugins())
    qualified = re.compile(rf"[\"'](?:{plugins})/[a-z0-9-]+[\"':,]")
    for path in ROOT.glob("sgmkit/**/*.py"):
        if path.name != "defaults.py":
            assert qualified.findall(path.read_text(encoding="utf-8")) == [], path
