"""Key files, and what must be remembered beside them so that no nonce is used twice and nothing is heard twice.

FILE          the key, 64 hexadecimal digits, readable by its owner alone
FILE.epoch    the newest key epoch that was used; only where clari-keygen ran, and only there may the key send
FILE.heard    how far a receiver has come
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from stream.errors import FileError
from stream.protection import SEQUENCE_COUNT
from stream.seal import EPOCH_COUNT, KEY_BYTES, Heard

MADE = "make one with clari-keygen"


def _reason(error: OSError) -> str:
    return (error.strerror or "error").lower()


def write_key(path: str) -> None:
    """Make a key file and its epoch file, for their owner alone: both or neither.

    Raises:
        FileError: one of them exists, or cannot be written.
    """
    contents = {path: secrets.token_hex(KEY_BYTES) + "\n", f"{path}.epoch": "0\n"}
    for name in (*contents, f"{path}.heard"):  # what was heard under an old key would make a receiver deaf to the new one
        if os.path.lexists(name):
            raise FileError(f"{name} exists and may be in use; choose another name")
    made: list[str] = []
    try:
        for name, content in contents.items():
            with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                made.append(name)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for each in made:  # half a key sends nothing and is in the way of the next attempt
            os.unlink(each)
        raise FileError(f"cannot write {name}: {_reason(error)}; choose another name") from None


def read_key(path: str) -> bytes:
    """The 32 bytes of a key file.

    Raises:
        FileError: missing, not a key, or readable by others than its owner.
    """
    try:
        with open(path, "rb") as file:
            others = os.fstat(file.fileno()).st_mode & 0o077
            text = file.read(4 * KEY_BYTES)
    except OSError as error:
        raise FileError(f"cannot read the key {path}: {_reason(error)}; {MADE}") from None
    if others:
        raise FileError(
            f"the key {path} is open to others than its owner; chmod 600 it, or make a new one if it may have been read"
        )
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise FileError(f"{path} is no key of {2 * KEY_BYTES} hexadecimal digits; {MADE}") from None
    if len(key) != KEY_BYTES:
        raise FileError(f"the key in {path} has {len(key)} bytes instead of {KEY_BYTES}; {MADE}")
    return key


def replace_file(path: Path, text: str, durable: bool) -> None:
    """Put `text` into a file so that whoever reads it finds the old or the new, never a part."""
    temporary = path.with_name(f"{path.name}.new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durable:
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class EpochFile:
    """The counter of key epochs beside a key; one sender at a time holds it."""

    def __init__(self, key_path: str):
        """Take the counter.

        Raises:
            FileError: missing, damaged, not writable, or held by another sender.
        """
        self._path = Path(f"{key_path}.epoch")
        self._key = open(key_path, "rb")  # noqa: SIM115 - held, and locked, as long as this counter
        try:
            fcntl.flock(self._key, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.newest = int(self._path.read_text(encoding="ascii"))
            if not 0 <= self.newest < EPOCH_COUNT // 2:  # nobody gets that far
                raise ValueError
        except BlockingIOError:
            raise FileError(f"another sender uses the key {key_path}; give every sender a key of its own ({MADE})") from None
        except OSError as error:
            raise FileError(
                f"cannot read {self._path}: {_reason(error)}; a key sends only where it was made: {MADE} for this sender"
            ) from None
        except ValueError:
            raise FileError(f"{self._path} is damaged; the key is no longer safe to send with: {MADE}") from None

    def next(self, step: int) -> int:
        """A new epoch, on disk before it is returned.

        Raises:
            FileError: it cannot be written.
        """
        try:
            replace_file(self._path, f"{self.newest + step}\n", durable=True)
        except OSError as error:
            raise FileError(f"cannot write {self._path}: {_reason(error)}; without it nothing can be sealed") from None
        self.newest += step
        return self.newest

    def close(self) -> None:
        self._key.close()


class HeardFile:
    """What a receiver has heard under a key, so that a replay is one after a restart too."""

    def __init__(self, key_path: str, notify: Callable[[str], None] = lambda line: None):
        """notify: gets one line if the file cannot be written any more."""
        self._path = Path(f"{key_path}.heard")
        self._notify, self._said = notify, False

    def load(self) -> Heard:
        """What was kept, or a fresh start if nothing was.

        Raises:
            FileError: it is damaged or cannot be read or written.
        """
        try:
            heard = Heard()
            if self._path.exists():
                values = json.loads(self._path.read_text(encoding="ascii"))
                heard = Heard(int(values["epoch"]), {int(kind): int(number) for kind, number in values["numbers"].items()})
                if not -1 <= heard.epoch < EPOCH_COUNT or not all(0 <= each < SEQUENCE_COUNT for each in heard.numbers.values()):
                    raise ValueError
            self.save(heard)  # what cannot be kept is reported now, not in the middle of a conversation
        except OSError as error:
            raise FileError(f"cannot use {self._path}: {_reason(error)}; check its permissions and free space") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):  # the last: a number that is infinite
            raise FileError(f"{self._path} is damaged; remove it: what was heard before may then be replayed once") from None
        return heard

    def keep(self, heard: Heard) -> None:
        """Keep how far the receiver has come, packet by packet. A disk that is full ends no conversation, and is said once.

        Replays are refused all the same while the receiver runs; the next packet tries to write again.
        """
        try:
            self.save(heard)
        except OSError as error:
            if not self._said:
                self._notify(
                    f"cannot write {self._path}: {_reason(error)}; speech goes on, but if this receiver is started anew before it "
                    "can, what it hears from now on may be replayed: free space"
                )
            self._said = True

    def save(self, heard: Heard) -> None:
        """Write how far the receiver has come. Not forced to disk: only a crash of the whole machine loses some seconds of it.

        Raises:
            OSError: it cannot be written.
        """
        replace_file(self._path, json.dumps({"epoch": heard.epoch, "numbers": heard.numbers}) + "\n", durable=False)
