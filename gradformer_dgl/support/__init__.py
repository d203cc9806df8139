"""Shared by all folders: errors, registries, atomic writes, locks, memory."""
