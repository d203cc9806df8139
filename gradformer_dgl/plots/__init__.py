"""Pictures of a run: a module for each, and a page that gathers them."""

PICTURE_NAMES = ("curves", "decay", "attention", "predictions", "distances")
FORMATS = ("png", "svg", "pdf")
