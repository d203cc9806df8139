"""Warning for names of classes and functions that have no entry in the API pages.

Docstrings may name classes of other libraries, and parts of this one that users do not call.
"""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

logger = getLogger(__name__)


def complain(app: Sphinx, env: Any, reference: pending_xref, content: nodes.TextElement) -> None:
    """Warn of a name without a target; one in plain backticks, of the role obj, needs none."""
    is_name = reference.get("refdomain") == "py" and reference["reftype"] != "obj"
    if is_name and not reference["refdoc"].startswith("api/"):
        logger.warning("no entry in the API pages for %s", reference["reftarget"], location=reference)


def setup(app: Sphinx) -> dict[str, Any]:
    """Look at every name that is not found."""
    app.connect("missing-reference", complain)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
