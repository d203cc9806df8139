"""Training: settings, loop, checkpoints, runs of several seeds."""
