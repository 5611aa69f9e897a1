"""Sound: nets of captured devices in the files of Neural Amp Modeler."""

from tcn.audio.nam_reading import load_nam
from tcn.audio.nam_writing import save_nam

__all__ = ["load_nam", "save_nam"]
