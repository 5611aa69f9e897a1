"""What is saved, whole or absent; knows nothing of nets.

* ``files.py``: files that take their place by being renamed into it
* ``schema.py``: plain data against a JSON schema
"""
