"""Small files in the place of the official ones."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy
import pytest

from tcn.data import mnist
from tcn.data.fetch import RemoteFile


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, numpy.ndarray]:
    """60 training and 12 test images of noise, in files of the official format."""
    generator = numpy.random.default_rng(0)
    arrays = {
        "train images": generator.integers(0, 256, (60, 28, 28)),
        "train labels": generator.integers(0, 10, 60),
        "test images": generator.integers(0, 256, (12, 28, 28)),
        "test labels": generator.integers(0, 10, 12),
    }
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for name, array in arrays.items():
        header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        content = gzip.compress(header + array.astype(numpy.uint8).tobytes())
        path = mnist.FILES[name].path
        (tmp_path / path).write_bytes(content)
        file = RemoteFile(path, hashlib.sha256(content).hexdigest(), ("http://127.0.0.1:9/",))
        monkeypatch.setitem(mnist.FILES, name, file)
    return arrays
