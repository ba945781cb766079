"""Sphinx configuration; the site builds without network."""

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import corpuscle

project = "Corpuscle"
author = "The Corpuscle developers"
copyright = "2026, the Corpuscle developers"
version = release = corpuscle.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False

html_theme = "sphinx_book_theme"
html_title = "Corpuscle"
html_static_path = ["_static"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}
# Formulas as MathML, which browsers show by themselves: no script to load from elsewhere.
html_math_renderer = "mathml"


def _inline_formula(translator: Any, node: Any) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block_formula(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline_formula, None), (_block_formula, None))
