"""A fitted forecaster and its history, which moves on as rows come.

estimator         settings with what a fit left behind, saved and loaded
forecaster        takes rows and forecasts from a carried state
rows, ahead       new rows and the steps after them
state, streaming  the last rows of every series, and the encoder's stream
learning          adaptive intervals
"""
