"""Settings of the published experiments, one YAML file per data set."""
