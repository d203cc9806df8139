"""Predictions for new graphs with the weights of a run."""
