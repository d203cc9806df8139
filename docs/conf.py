"""Configuration of Sphinx: `make docs` writes the documentation to build/docs."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))
os.environ.setdefault("DGLBACKEND", "pytorch")

import gradformer_dgl  # noqa: E402

project = "gradformer_dgl"
release = version = gradformer_dgl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "console",
    "mathml",
    "generated",
    "strict_names",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["extensions"]
highlight_language = "python"

# The button copies the commands of a console block, without prompts and output.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4

smartquotes = False
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["style"]
html_css_files = ["wrap.css"]
html_title = f"gradformer_dgl {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
