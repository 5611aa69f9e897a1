"""Devices whose sound nets are trained on, and recordings that are played through them."""
