"""Questions that need additional runs or timings."""
