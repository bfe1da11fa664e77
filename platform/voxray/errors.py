"""Every error that Voxray raises on purpose.

    VoxrayError
     ├── ConfigError       (ValueError)    a key, value or file of a configuration is wrong
     ├── AudioError        (ValueError)    bytes that cannot be decoded as audio, or hold none
     ├── CorpusError       (ValueError)    a corpus that is missing, empty, or contradicts itself
     ├── ModelError        (ValueError)    a model folder or name that cannot be used
     ├── ExportError       (RuntimeError)  an export that does not transcribe as its source does
     ├── LabellingError    (RuntimeError)  labelling that rejected too much, or lost its engine
     ├── TrainingError     (RuntimeError)  training that cannot start or go on
     ├── OutputError       (OSError)       an output place that is taken, full or not writable
     ├── WireError         (ValueError)    a message that the other side of a stream must not send
     ├── ClusterError      (RuntimeError)  Ray, where it does not start
     ├── ServiceError      (RuntimeError)  a server that cannot be reached, refuses, or gave up
     └── MissingDependency (ImportError)   an extra that is not installed

Each message is one sentence or two: what was expected, what came, where, and what to do.
Each class takes the message alone, so that it survives pickling between Ray processes.
"""


class VoxrayError(Exception):
    """Base of every error that Voxray raises on purpose."""


class ConfigError(VoxrayError, ValueError):
    """A key, value or file of a configuration is wrong."""


class AudioError(VoxrayError, ValueError):
    """Bytes that cannot be decoded as audio, or hold none."""


class CorpusError(VoxrayError, ValueError):
    """A corpus that is missing, empty, or contradicts itself."""


class ModelError(VoxrayError, ValueError):
    """A model folder or name that cannot be used."""


class ExportError(VoxrayError, RuntimeError):
    """An export that does not transcribe as its source does."""


class LabellingError(VoxrayError, RuntimeError):
    """Labelling that rejected too much, or lost its engine."""


class TrainingError(VoxrayError, RuntimeError):
    """Training that cannot start or go on."""


class OutputError(VoxrayError, OSError):
    """An output place that is taken, full or not writable."""


class WireError(VoxrayError, ValueError):
    """A message that the other side of a stream must not send."""


class ClusterError(VoxrayError, RuntimeError):
    """Ray, where it does not start."""


class ServiceError(VoxrayError, RuntimeError):
    """A server that cannot be reached, refuses, or gave up."""


class MissingDependency(VoxrayError, ImportError):
    """An extra that is not installed."""
