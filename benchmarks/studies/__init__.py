"""Questions that ask for runs or timings of their own."""
