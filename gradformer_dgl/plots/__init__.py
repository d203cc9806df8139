"""Pictures of runs and caches: a registry, a module for each picture, and a page that gathers them."""
