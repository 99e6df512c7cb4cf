"""Everything Vedette raises on purpose.

    VedetteError
    ├── UsageError              wrong option or argument                      exit 2
    ├── ConfigError             a configuration file says something wrong     exit 2
    │   └── GraphError          the steps of a pipeline do not fit together   exit 2
    ├── SourceError             a file or a camera cannot be used             exit 3
    │   └── SourceUnavailable   it may be there later: live sources retry     exit 3
    ├── BundleError             a model cannot be used                        exit 3
    │   ├── BackendUnavailable  not by this backend on this machine           exit 3
    │   └── DeviceMemoryError   its device has too little memory              exit 3
    ├── DeviceLost              a GPU is gone; only a new process gets it     exit 3
    ├── SinkError               events cannot be delivered                    exit 3
    ├── ClusterError            the Ray cluster cannot do what was asked      exit 3
    └── OperatorError           an operator broke its contract                exit 70

A message names the place, the value, what was expected and what to do, and never a credential.
"""

from __future__ import annotations

import enum


class VedetteError(Exception):
    """Base of every error that Vedette raises on purpose; its text is one sentence for a person."""

    exit_code = 70


class UsageError(VedetteError):
    """An option or argument on the command line is wrong."""

    exit_code = 2


class ConfigError(VedetteError):
    """A configuration says something that cannot be meant; the text starts with file and path."""

    exit_code = 2


class GraphError(ConfigError):
    """The steps of a pipeline do not fit together."""


class Cause(enum.StrEnum):
    """Why a source gives no frames, in the words of the `camera.down` event."""

    AUTH = "auth"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NOT_FOUND = "not_found"
    STALL = "stall"
    CODEC = "codec"
    TRANSPORT = "transport"
    ENDED = "ended"
    INVALID = "invalid"
    INTERNAL = "internal"


class SourceError(VedetteError):
    """A file or a camera cannot be used.

    Attributes:
        cause: what went wrong, as a word that programs can rely on.
    """

    exit_code = 3

    def __init__(self, message: str, cause: Cause = Cause.INVALID) -> None:
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[type[SourceError], tuple[str, Cause]]:
        return type(self), (str(self), self.cause)


class SourceUnavailable(SourceError):
    """A source that does not answer now and may later."""


class BundleError(VedetteError):
    """A model file or bundle is missing, damaged, or not what it says it is."""

    exit_code = 3


class BackendUnavailable(BundleError):
    """A backend cannot run a model on this machine; another one may."""


class DeviceMemoryError(BundleError):
    """A device has too little memory for a batch; a smaller one may fit."""


class DeviceLost(VedetteError):
    """A GPU has failed or was reset. Its context is useless from then on: only a new process can use it again."""

    exit_code = 3


class SinkError(VedetteError):
    """Events cannot be delivered to where they should go."""

    exit_code = 3


class ClusterError(VedetteError):
    """A Ray cluster is not there or cannot give what was asked for."""

    exit_code = 3


class OperatorError(VedetteError):
    """An operator broke its contract; the text names the step, the camera and the frame."""
