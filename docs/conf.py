"""How Sphinx builds these pages: `make docs`.  Nothing is fetched from the net, not even by a reader."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the extensions beside this file

from refinesr import __version__

project = "RefineSR"
author = "The RefineSR developers"
project_copyright = "2026, The RefineSR developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "plain_docstrings", "mathml"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

html_math_renderer = "mathml"
autodoc_typehints = "none"  # the words say more than the types of tensors
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "RefineSR"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False}
pygments_style = "friendly"

html_static_path = ["static"]
html_css_files = ["math.css"]
