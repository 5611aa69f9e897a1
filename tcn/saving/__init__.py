"""What is saved, whole or absent; knows nothing of nets.

* ``description.py``: how a module was built, and your own classes that a folder may name
* ``folder.py``: settings and tensors as a folder, in which one renaming decides
* ``tensors.py``: settings and tensors as one file
* ``files.py``: files that take their place by being renamed into it
* ``schema.py``: plain data against a JSON schema
"""

from tcn.saving.description import register

__all__ = ["register"]
