"""A forecaster on a stream: rows come, and the next forecast follows from a carried state.

forecaster        takes rows and forecasts
rows, ahead       new rows and the steps after them
state, streaming  the last rows of every series, and the encoder's stream
learning          adaptive intervals
"""
