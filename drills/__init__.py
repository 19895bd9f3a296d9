"""Longer failures of real servers than a suite has time for: ``nox -s drills``."""
