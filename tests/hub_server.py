"""A small Hub on loopback: what the real huggingface_hub client needs of its interface, with faults on demand.

Files are served without Xet headers, so the client downloads plainly. An upload by the client wants
`HF_HUB_DISABLE_XET=1`, which makes it use Git LFS.
"""

import base64
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
import yaml  # which huggingface_hub brings
from huggingface_hub import constants, hf_api

CHUNK = 2**18
WRONG = bytes(255 - value for value in range(256))  # a table for `bytes.translate`
# What the Hub's own .gitattributes sends to LFS whatever its size, and the size from which all is sent there.
LFS_SUFFIXES = (".safetensors", ".onnx", ".pth", ".pt", ".bin", ".ckpt")
LFS_SIZE = 10 * 2**20
NO_LOGIN = "Invalid username or password."


@dataclass
class Request:
    """One request as it was answered."""

    method: str
    path: str  # decoded, without the query
    status: int
    bytes_sent: int = 0  # of the body
    range: str | None = None  # the header asked with

    @property
    def is_file(self) -> bool:
        return self.method == "GET" and "/resolve/" in self.path


@dataclass
class Fault:
    """Something that goes wrong with the next `times` requests it fits, after `skip` that do not suffer it."""

    kind: str  # "cut", "corrupt" or "fail"
    method: str
    repo: str
    path: str | None  # None: any
    times: int
    skip: int = 0
    after: int = 0  # bytes sent or read before a cut
    status: int = 500

    def strikes(self, method: str, repo: str, path: str) -> bool:
        if (self.method, self.repo) != (method, repo) or self.path not in (None, path) or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(frozen=True)
class Blob:
    """One file: its content in memory or on the disk."""

    content: Path | bytes
    size: int
    lfs: bool

    @property
    def oid(self) -> str:
        """Git's name of it, or of the pointer that stands for it."""
        content = _pointer(self.sha256, self.size) if self.lfs else self.read()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        if isinstance(self.content, Path):
            stat = self.content.stat()
            return _hash_file(self.content, stat.st_size, stat.st_mtime_ns)
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def read(self) -> bytes:
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            for place in range(start, stop, CHUNK):
                yield self.content[place : min(place + CHUNK, stop)]
            return
        with self.content.open("rb") as file:
            file.seek(start)
            for place in range(start, stop, CHUNK):
                yield file.read(min(CHUNK, stop - place))


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@lru_cache(maxsize=1024)
def _hash_file(path: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass
class Repository:
    """All commits of one repository, the last of them being main."""

    gated: bool = False
    private: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    lfs_objects: dict[str, bytes] = field(default_factory=dict)  # uploaded, by their sha256

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    def commit(self, name: str, files: dict[str, Blob]) -> str:
        listing = [name, len(self.commits), sorted((path, blob.etag) for path, blob in files.items())]
        sha = hashlib.sha1(json.dumps(listing).encode()).hexdigest()
        self.commits[sha] = files
        return sha


def _find_errors(metadata: str) -> Iterator[str]:
    """What the Hub has against a card's metadata; those of its rules that a converted model's card could break."""
    try:
        card = yaml.safe_load(metadata)
    except yaml.YAMLError as error:
        yield f"YAML Metadata Error: {error}"
        return
    if not isinstance(card.get("license", ""), str):
        yield '"license" must be a string'
    if not re.fullmatch(r"LICENSE(\.md)?|https?://\S+", card.get("license_link", "LICENSE")):
        yield '"license_link" must be LICENSE, LICENSE.md or a URL'
    if not re.fullmatch(r"[a-z0-9-.]+", card.get("license_name", "none")):
        yield '"license_name" must be lower case, without spaces'
    models = card.get("base_model", [])
    if not all(
        re.fullmatch(r"[\w.-]+/[\w.-]+", model) for model in ([models] if isinstance(models, str) else models)
    ):
        yield '"base_model" must be names of models on the Hub'


class RefusedError(Exception):
    """An answer that is an error, as the Hub words it."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers
        if code is not None:
            self.headers["X-Error-Code"] = code


class HubServer:
    """The Hub; to be used in a `with` statement, outside of which nobody listens at `url`.

    `token` may read what is private and write under `user` and `organisations`; `read_token` may only read. A
    gated repository wants either, and its name in `accepted`.
    """

    def __init__(self) -> None:
        self.token, self.read_token = "hf_good", "hf_read"
        self.user, self.organisations = "tester", ["lab"]
        self.closed: set[str] = set()  # of these, those in which the user may only read
        self.accepted: set[str] = set()
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.validated: list[str] = []  # the cards that the client had checked
        self.lock = threading.RLock()
        self.connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self.connections):  # those that clients keep open for their next request
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # -- What it holds -------------------------------------------------------------------------------------

    def add(
        self,
        repo: str,
        files: Mapping[str, Path | bytes] | Path,
        *,
        gated: bool = False,
        private: bool = False,
        lfs_from: int = 1000,
    ) -> str:
        """Commits `files`, in place of those there were, and gives the commit's hash.

        Files of `lfs_from` bytes and more are LFS's. Those on the disk are read when they are asked for.
        """
        if isinstance(files, Path):
            found = sorted(path for path in files.rglob("*") if path.is_file())
            files = {path.relative_to(files).as_posix(): path for path in found}
        blobs = {}
        for path, content in files.items():
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            blobs[path] = Blob(content, size, size >= lfs_from)
        with self.lock:
            repository = self.repositories.setdefault(repo, Repository())
            repository.gated, repository.private = gated, private
            return repository.commit(repo, blobs)

    def files(self, repo: str) -> dict[str, bytes]:
        """What main holds now."""
        repository = self.repositories[repo]
        return {path: blob.read() for path, blob in repository.commits[repository.head].items()}

    def file_bytes(self) -> int:
        """How many bytes of files were sent."""
        return sum(request.bytes_sent for request in self.requests if request.is_file)

    # -- What goes wrong -----------------------------------------------------------------------------------

    def cut(self, repo: str, path: str | None, after: int, *, times: int = 1, skip: int = 0, method: str = "GET"):
        """Closes the connection after so many bytes of the file; with method "PUT", of an LFS file sent to it."""
        self.faults.append(Fault("cut", method, repo, path, times, skip, after=after))

    def corrupt(self, repo: str, path: str, *, times: int = 1):
        """Sends as many bytes as the file has, all of them wrong."""
        self.faults.append(Fault("corrupt", "GET", repo, path, times))

    def fail(
        self, repo: str, path: str | None, *, status: int = 500, times: int = 1, skip: int = 0, method: str = "GET"
    ):
        """Answers with an error instead of the file; with method "HEAD", where the file is asked after.

        With "PUT" it is an LFS file sent to it, and with "COMMIT" a commit, that is refused.
        """
        self.faults.append(Fault("fail", method, repo, path, times, skip, status=status))

    def strike(self, method: str, repo: str, path: str) -> Fault | None:
        """The fault that this request suffers."""
        with self.lock:
            return next((fault for fault in self.faults if fault.strikes(method, repo, path)), None)


NAME = r"(?P<repo>[^/]+/[^/]+)"
ROUTES: list[tuple[str, re.Pattern[str], str]] = [
    (methods, re.compile(pattern + "$"), answer)
    for methods, pattern, answer in [
        ("GET HEAD", rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "send_file"),
        ("GET", rf"/api/models/{NAME}(/revision/(?P<revision>[^/]+))?", "send_info"),
        ("GET", rf"/api/models/{NAME}/tree/(?P<revision>[^/]+)(/(?P<folder>.*))?", "send_tree"),
        ("GET", rf"/api/models/{NAME}/auth-check(?P<write>/write)?", "check_access"),
        ("GET", "/api/whoami-v2", "send_user"),
        ("GET HEAD POST", "/api/telemetry/.*", "ignore"),
        ("POST", "/api/repos/create", "create_repository"),
        ("POST", "/api/validate-yaml", "validate_card"),
        ("POST", rf"/api/models/{NAME}/preupload/(?P<revision>[^/]+)", "choose_upload_modes"),
        ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", "plan_lfs"),
        ("PUT", rf"/lfs/{NAME}/(?P<sha256>\w+)", "take_lfs"),
        ("POST", rf"/api/models/{NAME}/commit/(?P<revision>[^/]+)", "take_commit"),
    ]
]


class _Handler(BaseHTTPRequestHandler):
    """Answers for one `HubServer`."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal: `HubServer.requests` has it."""

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        with suppress(ConnectionError):
            super().finish()

    def answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.request_path = unquote(url.path)
        self.body_read = False
        try:
            for methods, pattern, answer in ROUTES:
                match = pattern.match(url.path)
                if match and self.command in methods.split():
                    words = {name: unquote(word) if word else None for name, word in match.groupdict().items()}
                    getattr(self, answer)(**words)
                    return
            raise RefusedError(404, "Sorry, we can't find the page you are looking for.")
        except RefusedError as refusal:
            headers = {**refusal.headers, "X-Error-Message": refusal.message}
            self.send_json({"error": refusal.message}, status=refusal.status, headers=headers)
        except ConnectionError:  # the client went away
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815, names that the base class looks for

    # -- Sending and reading -------------------------------------------------------------------------------

    def begin(self, status: int, size: int, headers: Mapping[str, str]) -> Request:
        if not self.body_read:
            self.read_body()
        request = Request(self.command, self.request_path, status, range=self.headers.get("Range"))
        self.hub.requests.append(request)
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return request

    def send_json(self, content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        request = self.begin(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            request.bytes_sent += len(body)
            self.wfile.write(body)

    def read_body(self, stop: int | None = None) -> bytes:
        """What the client sends; with `stop`, the connection is closed after so many bytes."""
        self.body_read = True
        read: Callable[[], bytes]
        if self.headers.get("Transfer-Encoding") == "chunked":
            read = self.read_chunk
        else:
            left = int(self.headers.get("Content-Length") or 0)

            def read() -> bytes:
                nonlocal left
                part = self.rfile.read(min(left, CHUNK))
                left -= len(part)
                return part

        body = bytearray()
        while (stop is None or len(body) < stop) and (part := read()):
            body += part
        if stop is not None:
            self.hub.requests.append(Request(self.command, self.request_path, 0))
            raise ConnectionAbortedError
        return bytes(body)

    def read_chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        part = self.rfile.read(size)
        self.rfile.readline()
        return part

    # -- Who may ---------------------------------------------------------------------------------------------

    @property
    def given_token(self) -> str | None:
        """The token sent, which is one of ours.

        Raises:
            RefusedError: it is not.
        """
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return None
        if token not in (self.hub.token, self.hub.read_token):
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return token

    def find_repository(self, repo: str) -> Repository:
        """The repository, where this client may know of it; else the answer is as if there were none."""
        repository = self.hub.repositories.get(repo)
        token = self.given_token
        if repository is None or (repository.private and token is None):
            if token is None:
                raise RefusedError(401, NO_LOGIN, "RepoNotFound")
            raise RefusedError(404, "Repository not found", "RepoNotFound")
        return repository

    def find_commit(self, repository: Repository, revision: str | None) -> tuple[str, dict[str, Blob]]:
        sha = repository.head if revision in (None, "main") else str(revision)
        if sha not in repository.commits:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha, repository.commits[sha]

    def check_gate(self, repo: str, repository: Repository) -> None:
        if not repository.gated:
            return
        if self.given_token is None:
            message = f"Access to model {repo} is restricted. You must have access to it and be authenticated."
            raise RefusedError(401, message, "GatedRepo")
        if repo not in self.hub.accepted:
            message = f"Access to model {repo} is restricted and you are not in the authorized list."
            raise RefusedError(403, message, "GatedRepo")

    def check_write(self, owner: str) -> None:
        if self.given_token is None:
            raise RefusedError(401, NO_LOGIN)
        if self.given_token != self.hub.token:
            raise RefusedError(403, "You don't have the required permissions: this token can only read.")
        if owner not in (self.hub.user, *self.hub.organisations) or owner in self.hub.closed:
            raise RefusedError(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')

    def writable(self, repo: str) -> Repository:
        repository = self.find_repository(repo)
        self.check_write(repo.split("/")[0])
        return repository

    # -- Downloads -------------------------------------------------------------------------------------------

    def send_file(self, repo: str, revision: str, path: str) -> None:
        repository = self.find_repository(repo)
        sha, files = self.find_commit(repository, revision)
        commit = {"X_Repo_Commit": sha}
        self.check_gate(repo, repository)
        if path not in files:
            raise RefusedError(404, "Entry not found", "EntryNotFound", **commit)
        blob = files[path]
        fault = self.hub.strike(self.command, repo, path)
        if fault and fault.kind == "fail":
            raise RefusedError(
                fault.status, "Internal Error - We're working hard to fix this as soon as possible!"
            )
        headers = {**commit, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size)}
        headers |= {"Content-Disposition": f"inline; filename*=UTF-8''{quote(PurePosixPath(path).name)};"}
        start, stop = 0, blob.size
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, stop = int(asked[1]), min(int(asked[2] or blob.size) + bool(asked[2]), blob.size)
            if start >= blob.size:
                raise RefusedError(416, "Range not satisfiable", Content_Range=f"bytes */{blob.size}")
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
        request = self.begin(206 if asked else 200, stop - start, headers)
        if self.command == "HEAD":
            return
        if fault and fault.kind == "cut":
            stop, self.close_connection = min(start + fault.after, stop), True
        for chunk in blob.chunks(start, stop):
            request.bytes_sent += len(chunk)  # before the client can have it, who may then look
            self.wfile.write(chunk.translate(WRONG) if fault and fault.kind == "corrupt" else chunk)

    def send_info(self, repo: str, revision: str | None) -> None:
        repository = self.find_repository(repo)
        sha, files = self.find_commit(repository, revision)
        siblings: list[dict[str, object]] = []
        for path, blob in sorted(files.items()):
            sibling: dict[str, object] = {"rfilename": path}
            if "blobs" in self.query:
                sibling |= {"size": blob.size, "blobId": blob.oid}
                if blob.lfs:
                    pointer_size = len(_pointer(blob.sha256, blob.size))
                    sibling["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": pointer_size}
            siblings.append(sibling)
        info = {"id": repo, "modelId": repo, "author": repo.split("/")[0], "sha": sha, "siblings": siblings}
        gated = "manual" if repository.gated else False
        self.send_json(info | {"private": repository.private, "gated": gated, "disabled": False, "tags": []})

    def send_tree(self, repo: str, revision: str, folder: str | None) -> None:
        _, files = self.find_commit(self.find_repository(repo), revision)
        top = PurePosixPath(folder or "")
        entries: dict[str, dict[str, object]] = {}
        for path, blob in sorted(files.items()):
            if top not in PurePosixPath(path).parents:
                continue
            inner = PurePosixPath(path).relative_to(top)
            for parent in list(inner.parents)[-2::-1]:  # without "."
                name = (top / parent).as_posix()
                entries[name] = {"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0}
            entries[path] = {"type": "file", "oid": blob.oid, "size": blob.size}
            if blob.lfs:
                pointer_size = len(_pointer(blob.sha256, blob.size))
                entries[path]["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": pointer_size}
        if not entries and folder:
            raise RefusedError(404, f"{folder} does not exist", "EntryNotFound")
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            entries = {path: entry for path, entry in entries.items() if PurePosixPath(path).parent == top}
        self.send_json([{"path": path, **entry} for path, entry in entries.items()])

    def check_access(self, repo: str, write: str | None) -> None:
        self.check_gate(repo, self.find_repository(repo))
        if write:
            self.check_write(repo.split("/")[0])
        self.send_json({})

    def send_user(self) -> None:
        token = self.given_token
        if token is None:
            raise RefusedError(401, NO_LOGIN)
        role = "write" if token == self.hub.token else "read"
        self.send_json(
            {
                "type": "user",
                "name": self.hub.user,
                "orgs": [{"type": "org", "name": name} for name in self.hub.organisations],
                "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": role}},
            }
        )

    def ignore(self) -> None:
        self.send_json({})

    # -- Uploads ---------------------------------------------------------------------------------------------

    def create_repository(self) -> None:
        wanted = json.loads(self.read_body())
        owner = wanted.get("organization") or self.hub.user
        self.check_write(owner)
        repo = f"{owner}/{wanted['name']}"
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        url = f"{self.hub.url}/{repo}"
        with self.hub.lock:
            if repo in self.hub.repositories:
                self.send_json({"error": "You already created this model repo", "url": url}, status=409)
                return
            attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
            self.hub.add(repo, {".gitattributes": attributes.encode()}, private=private)
        self.send_json({"url": url, "name": repo, "private": private})

    def validate_card(self) -> None:
        content = json.loads(self.read_body())["content"]
        self.hub.validated.append(content)
        metadata = re.match(r"---\n(.*?\n)---\n", content, re.DOTALL)
        warnings = [] if metadata else ["empty or missing yaml metadata in repo card"]
        errors = list(_find_errors(metadata[1])) if metadata else []
        answer = {"errors": errors, "warnings": warnings}
        messages = {kind: [{"message": message} for message in found] for kind, found in answer.items()}
        self.send_json(messages, status=400 if errors else 200)

    def choose_upload_modes(self, repo: str, revision: str) -> None:
        _, files = self.find_commit(self.writable(repo), revision)
        answers = []
        for file in json.loads(self.read_body())["files"]:
            path, known = file["path"], files.get(file["path"])
            mode = "lfs" if path.endswith(LFS_SUFFIXES) or file["size"] >= LFS_SIZE else "regular"
            oid = None if known is None else known.etag  # so the client sends nothing that is there
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.send_json({"files": answers})

    def plan_lfs(self, repo: str) -> None:
        repository = self.writable(repo)
        objects = []
        for wanted in json.loads(self.read_body())["objects"]:
            if wanted["oid"] not in repository.lfs_objects:
                wanted["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{repo}/{wanted['oid']}"}}
            objects.append(wanted)
        self.send_json({"transfer": "basic", "objects": objects})

    def take_lfs(self, repo: str, sha256: str) -> None:
        """As at the store that the Hub signs addresses for, no token is wanted here."""
        fault = self.hub.strike("PUT", repo, sha256)
        content = self.read_body(stop=fault.after if fault and fault.kind == "cut" else None)
        if fault:
            raise RefusedError(fault.status, "Internal Error")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RefusedError(400, "What was sent has another hash")
        with self.hub.lock:
            self.hub.repositories[repo].lfs_objects[sha256] = content
        self.send_json({})

    def take_commit(self, repo: str, revision: str) -> None:
        repository = self.writable(repo)
        self.find_commit(repository, revision)
        if fault := self.hub.strike("COMMIT", repo, ""):
            raise RefusedError(fault.status, "Internal Error")
        with self.hub.lock:
            files = dict(repository.commits[repository.head])
            for line in self.read_body().splitlines():
                operation = json.loads(line)
                self.change(repository, files, operation["key"], operation["value"])
            sha = repository.commit(repo, files)
        self.send_json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"})

    def change(
        self, repository: Repository, files: dict[str, Blob], operation: str, value: Mapping[str, str]
    ) -> None:
        if operation == "header":
            return
        path = value["path"]
        if operation == "file":
            content = base64.b64decode(value["content"])
            files[path] = Blob(content, len(content), lfs=False)
        elif operation == "lfsFile":
            if value["oid"] not in repository.lfs_objects:
                raise RefusedError(400, f"{path} points to a file that was not sent")
            content = repository.lfs_objects[value["oid"]]
            files[path] = Blob(content, len(content), lfs=True)
        elif operation == "deletedFile":
            del files[path]
        else:
            raise RefusedError(400, f"No {operation} here")


# -- Using it ------------------------------------------------------------------------------------------------


def log_in(hub: HubServer, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Has this process's client use `hub` and nothing of this machine's user."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)  # the one that the client's plain functions share
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", hub.token)


def environment_of(hub: HubServer, home: Path) -> dict[str, str]:
    """What a new process needs to use `hub` so."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    used = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1"}
    return kept | used
