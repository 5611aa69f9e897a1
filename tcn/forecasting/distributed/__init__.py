"""Tables too large for one process: in parts of whole series, on Ray and on Spark.

partition   a pure function of one part, and of a stream of parts
ray, spark  parts to workers
"""
