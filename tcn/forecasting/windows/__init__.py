"""Panels to scaled windows in batches.

scaling, location_and_scale  whole series and covariates, in float64
windows, batch               batches cut out of one matrix
window_scaling               single windows, inside the net
window_choice                which window scaler suits a panel
"""
