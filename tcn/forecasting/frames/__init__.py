"""Long frames of pandas, polars or pyarrow to arrays that are checked, and results back to frames.

columns, panel      what is what, and many series end to end without gaps
rows                the rows of a frame, with the checks that make them a panel
reading, ids        columns as arrays: numbers, times, ids
static              columns of one value per series
frequency, gaps     the step of time, and rows that are absent
written_dates       dates written as one number, refused
calendar            features of the calendar
results             frames of the caller's kind
files               tables of csv, parquet and json
advice, notices     what helps against wrong rows, and warnings at the caller's line
"""
