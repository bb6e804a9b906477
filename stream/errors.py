"""Errors that a user can cure, and the exit codes of every clari command.

    0 success   1 failure   2 wrong usage   3 audio device   4 model   5 link   6 input or output file   130 interrupted

A command prints one line, `clari-tx: what is wrong; what cures it`, on stderr and exits with the code of the error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from stream.patient import wait_for_streams
from stream.signals import interruptible

EXIT_CODES_HELP = """exit codes:
  0    success
  1    failure
  2    wrong usage
  3    audio device
  4    model
  5    link
  6    input or output file
  130  interrupted"""


class ClariError(Exception):
    """An error with a cure; its text is the one line that the user reads."""

    exit_code = 1


class UsageError(ClariError):
    """Options that do not fit together."""

    exit_code = 2


class DeviceError(ClariError):
    """No audio library, no such device, or a device that fails."""

    exit_code = 3


class ModelError(ClariError):
    """A model that is missing, damaged or made for something else."""

    exit_code = 4


class LinkError(ClariError):
    """An endpoint that cannot be bound or reached, or a packet stream that is none."""

    exit_code = 5


class FileError(ClariError):
    """An input that is missing, empty or no audio, or an output that cannot be written."""

    exit_code = 6


def open_streams() -> None:
    """Streams that wait for whoever reads and writes them; a stderr that was closed leads nowhere, not among the data."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    wait_for_streams()


def silence_stdout() -> None:
    """Point stdout nowhere, so that Python's own flush at exit cannot fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def run_command(name: str, command: Callable[[], int]) -> int:
    """Run a command's body; turn errors, and the signals that end a command, into one line on stderr and an exit code."""
    open_streams()
    try:
        with interruptible():
            code = command()
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk shows here, not at exit
        return code
    except ClariError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our stdout has gone, like `head`: nothing is left to say
        silence_stdout()
        return 0
    except OSError as error:
        silence_stdout()
        where = f" {error.filename}" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        print(f"{name}: cannot read or write{where}: {reason}; check name, permissions and free space", file=sys.stderr)
        return FileError.exit_code
    except UnicodeError:
        print(f"{name}: a name holds bytes that are no text; rename the file", file=sys.stderr)
        return UsageError.exit_code
