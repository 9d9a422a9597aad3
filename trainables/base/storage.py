"""Where a run is kept: a folder on a disk, or a URI of an object store (s3://bucket/run).

Code that takes a `Place` uses only `children`, `remove_tree`, `write`, which writes whole files,
and the part of pathlib.Path that `RemotePath` has too.
"""

import functools
import hashlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from trainables.base.errors import InvalidInput

log = logging.getLogger(__name__)

SCHEMES = ("s3", "gs")
"""The schemes of the object stores that pyarrow and Ray reach by URI."""

PATIENCE_S = 120.0
"""The seconds for which a store that is away is asked again; then the run stops, resumable."""

Result = TypeVar("Result")

_TEMPORARY = ".tmp"
_FIRST_PAUSE_S = 0.5


class RemotePath:
    """An object or a folder in a store, by its URI, with the part of pathlib.Path that a run needs.

    Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...): this class
    holds none, so pickling or printing it gives none away.
    """

    def __init__(self, uri: str) -> None:
        """uri: scheme://bucket/key, optionally with a query such as ?region=eu-central-1."""
        location, question_mark, query = uri.partition("?")
        self._location = location.rstrip("/")
        self._query = question_mark + query
        scheme, _, path = self._location.partition("://")
        bucket, _, self._path = path.partition("/")
        self._bucket = f"{scheme}://{bucket}{self._query}"

    def __str__(self) -> str:
        return self._location + self._query

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self._location}/{name}{self._query}")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self._location.rpartition("/")[2]

    def resolve(self) -> "RemotePath":
        """The path itself: a URI is always absolute."""
        return self

    absolute = resolve

    def exists(self) -> bool:
        """Whether the URI names an object or a folder that exists."""
        return not self._is(fs.FileType.NotFound)

    def is_file(self) -> bool:
        """Whether the URI names an object that exists."""
        return self._is(fs.FileType.File)

    def is_dir(self) -> bool:
        """Whether the URI names a folder, that is, has objects below it."""
        return self._is(fs.FileType.Directory)

    def iterdir(self) -> Iterator["RemotePath"]:
        """Everything directly below; nothing when the folder does not exist."""
        selector = fs.FileSelector(self._key, allow_not_found=True)
        for info in _patiently(lambda: self._store.get_file_info(selector), self):
            yield self / info.base_name

    def version(self) -> "Version":
        """See `version_of`."""
        info = _patiently(lambda: self._store.get_file_info(self._key), self)
        return None if info.type == fs.FileType.NotFound else _version_in_store(info)

    def versions(self) -> "dict[str, Version]":
        """See `versions`; one question to the store."""
        selector = fs.FileSelector(self._key, allow_not_found=True)
        infos = _patiently(lambda: self._store.get_file_info(selector), self)
        return {info.base_name: _version_in_store(info) for info in infos}

    def read_bytes(self) -> bytes:
        """The content. Raises FileNotFoundError when the object does not exist."""

        def read() -> bytes:
            with self._store.open_input_stream(self._key) as stream:
                return bytes(stream.read())

        return _patiently(read, self)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def put(self, content: bytes) -> None:
        """Replace the object at once: a reader, or a crash, sees the old one or the new one."""
        with self._store.open_output_stream(self._key) as stream:
            stream.write(content)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object. If it is missing, raises FileNotFoundError unless `missing_ok`."""
        try:
            _patiently(lambda: self._store.delete_file(self._key), self)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Remove everything below."""
        _patiently(lambda: self._store.delete_dir_contents(self._key, missing_dir_ok=True), self)

    @property
    def _store(self) -> fs.FileSystem:
        return _store_of(self._bucket)[0]

    @property
    def _key(self) -> str:
        return f"{_store_of(self._bucket)[1]}/{unquote(self._path, errors='strict')}"

    def _is(self, kind: fs.FileType) -> bool:
        info = _patiently(lambda: self._store.get_file_info(self._key), self)
        return bool(info.type == kind)


Place = Path | RemotePath


def place(text: str | Path) -> Place:
    """The place that an option names.

    >>> place("s3://bucket/runs/first")
    RemotePath('s3://bucket/runs/first')

    Raises InvalidInput for an unknown store, for a URI that holds a password, and for a path that
    Arrow cannot take, because it is not UTF-8 or the locale does not read it as UTF-8.
    """
    try:
        str(text).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{str(text)!a} cannot be read as UTF-8: rename it, or set LC_ALL=C.UTF-8"
        ) from error
    found = re.match(r"(\w[\w+.-]*)://", str(text)) if isinstance(text, str) else None
    if found is None:
        return Path(text)
    if found[1] == "file":
        return Path(unquote(urlsplit(str(text)).path))
    if found[1] not in SCHEMES:
        raise InvalidInput(
            f"{found[0]}... is not a store that is known here: give a folder or "
            f"{' or '.join(f'{scheme}://BUCKET/RUN' for scheme in SCHEMES)}"
        )
    bucket, _, key = str(text).partition("://")[2].partition("?")[0].partition("/")
    if "@" in bucket or re.search(r"[?&]\w*(pass|secret|token|key)\w*=", str(text), re.I):
        raise InvalidInput(
            f"{found[0]}... holds credentials, which would be written down with the run: leave "
            "them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not bucket or not key.strip("/") or any(map(str.isspace, str(text))):
        raise InvalidInput(f"{text!s} names no bucket and run: write {found[0]}BUCKET/RUN")
    if not _is_path_of_uri(key):
        raise InvalidInput(
            f"{text!s} is not a URI: write letters beyond a-z and signs as %XX, UTF-8"
        )
    return RemotePath(str(text))


def _is_path_of_uri(text: str) -> bool:
    """Whether RFC 3986 allows this as a path, and it decodes to text."""
    if not re.fullmatch(r"([\w.~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*", text, re.ASCII | re.I):
        return False
    try:
        return "\0" not in unquote(text, errors="strict")
    except UnicodeDecodeError:
        return False


def children(folder: Place) -> list[Place]:
    """Everything directly in `folder`, by name; [] when it is not a folder."""
    return sorted(folder.iterdir(), key=str) if folder.is_dir() else []


Version = tuple[int, ...] | None
"""Another one after every `write` of a file; None of a file that is not there."""


def version_of(file: Place) -> Version:
    """The version of one file."""
    if isinstance(file, RemotePath):
        return file.version()
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size  # a rename brings another inode


def versions(folder: Place) -> dict[str, Version]:
    """Name -> version of everything directly in `folder`; empty when it is not a folder."""
    if isinstance(folder, RemotePath):
        return folder.versions()
    try:
        return {file.name: version_of(file) for file in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def remove_tree(folder: Place) -> None:
    """Remove a folder with all below it, if it exists."""
    if isinstance(folder, RemotePath):
        folder.remove_tree()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def write(target: Place, content: bytes | str) -> None:
    """Replace `target` in one step: a reader, or a crash, sees the old content or the new one.

    The folders above it are made. On a disk, the content is written beside, flushed and renamed; in
    a store it is one put, which is tried again for `PATIENCE_S` while the store is away.
    """
    data = content.encode() if isinstance(content, str) else content
    if isinstance(target, RemotePath):
        _patiently(lambda: target.put(data), target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)  # a full disk is not to be filled further
        raise


def sealed(content: bytes) -> bytes:
    """`content` preceded by its digest, for files that another program copies and may tear."""
    return hashlib.sha256(content).digest() + content


def unsealed(data: bytes) -> bytes:
    """The content that was sealed. Raises ValueError if a byte is missing or changed."""
    length = hashlib.sha256().digest_size
    if hashlib.sha256(data[length:]).digest() != data[:length]:
        raise ValueError("it is torn or damaged")
    return data[length:]


def read_json(file: Place) -> Any:  # noqa: ANN401 - whatever the file holds
    """The values in a JSON file. Raises OSError, or ValueError for invalid or non-finite content.

    Text that cannot be written again (half a surrogate pair) and numbers too large for a float are
    refused here, rather than later when a page is made from them.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def is_temporary(path: Place) -> bool:
    """Whether a writer that died may have left `path` behind."""
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def _version_in_store(info: fs.FileInfo) -> tuple[int, int]:
    """Stores tell the time of a write, some to the second, and the size, which a row changes."""
    return info.mtime_ns or 0, info.size or 0


@functools.cache
def _store_of(bucket: str) -> tuple[fs.FileSystem, str]:
    """The store of scheme://bucket?query, and the bucket in it. Raises OSError when it is away.

    All objects share one client, because each client has its own connections and threads.
    """
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(bucket)
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{bucket} is not a URI that can be opened: {error}") from error
    return found


def _patiently(operation: Callable[[], Result], what: RemotePath) -> Result:
    """The operation's result; while the store fails, it is tried again with growing pauses."""
    deadline, pause = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
    while True:
        try:
            return operation()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("%s does not answer (%s); asking again", what, str(error).splitlines()[0])
            time.sleep(pause)
            pause = min(2 * pause, 10.0)
