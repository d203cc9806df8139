"""Experiments of many trainings: the tables of the paper, and the search for good settings."""
