"""Settings by name, one YAML file each.

Those named after a data set are the published ones (``nci-tpsa`` is this package's own); ``NAME-tuned`` and
``nci1-few-tuned`` were found on validation graphs. ``default`` is for any other data set, ``molecules`` for
CSV files of molecules, ``nodes`` for the nodes of one large graph.
"""
