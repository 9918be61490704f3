"""Fuzz every reader: targets, the inputs to start from, and the runner for atheris.

``python -m fuzz --list`` names the targets; docs/fuzzing.md explains the rest.
"""
