"""Nets for images, trained and tested on the one grid: accuracy, cost and curves, on a page."""
