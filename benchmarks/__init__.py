"""Trains every model on every task, keeps each run as one JSON file, and reports.

``python -m benchmarks --help`` explains how. The package imports ``tcn``; ``tcn`` never imports it.
"""
