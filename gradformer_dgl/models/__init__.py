"""Whole networks: Gradformer and the models it is compared with."""
