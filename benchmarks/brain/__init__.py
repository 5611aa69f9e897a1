"""How alike a net and the brain find 92 pictures (Khaligh-Razavi & Kriegeskorte 2014)."""
