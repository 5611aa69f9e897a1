"""Long frames of pandas, polars or pyarrow to arrays that are checked, and results back to frames.

columns, panel               what is what, and many series end to end without gaps
rows, regular                the rows of a frame, and the checks that make them a panel
reading, ids, static         columns as arrays: numbers, times, ids, one value per series
frequency, clock, inference  the step of time, on the wall clock of a zone, and found from the times
gaps, written_dates          rows that are absent, and dates written as one number
calendar                     features of the calendar
results                      frames of the caller's kind
files                        tables of csv, parquet and json
advice, notices, arrays      what helps against wrong rows, warnings, types of arrays
"""
