"""Runs, their results and the processes that make them."""
