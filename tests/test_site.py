"""The parts of the site that are programs: equations, and the gallery of recipes."""

import sys

import pytest
from documents import ROOT

pytest.importorskip("sphinx", reason="the site's tools are in the extra docs")
sys.path.append(str(ROOT / "docs"))

import mathml
import recipe_pages
from sphinx.errors import ExtensionError


def test_the_index_of_an_accented_letter_stands_beside_it():
    """docutils writes it below the letter."""
    for tex in (r"{\bar p}_i", r"{\hat r}_{ui}", r"{\tilde z}_o"):
        text = "".join(mathml.converted(tex, as_block=False).split())
        assert "munderover" not in text
        assert text.index("<msub>") < text.index("<mover") < text.index("</mover>")
    assert "munderover" in mathml.converted(r"\sum_{i=1}^n a_i", as_block=True)
    assert "&amp;lt;" not in mathml.converted("a < b", as_block=False)


def test_an_equation_that_cannot_be_converted_stops_the_build():
    with pytest.raises(ExtensionError, match="nosuchcommand"):
        mathml.converted(r"\nosuchcommand", as_block=False)


def test_gallery():
    recipes = [recipe_pages.Recipe(ROOT / "docs", path) for path in (ROOT / "recipes").glob("*.py")]
    parts = {recipe.name: recipe.part for recipe in recipes}
    assert parts["quickstart"] == "recipes"
    assert parts["benchmark_imbalanced"] == "studies"
    assert parts["real_sets"] == parts["peers"] == "internals"
    for recipe in recipes:
        if recipe.part == "recipes":
            assert recipe.output or recipe.picture.exists()
            assert len(recipe.title) < 140  # it is the title of a card
