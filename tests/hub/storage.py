"""What the loopback Hub keeps, in memory: accounts, repositories, and every commit as a snapshot that never changes."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType

MAIN = "main"
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".parquet", ".arrow", ".onnx", ".npz")
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")


class HubError(Exception):
    """An answer other than success: its status, the Hub's code for it if it has one, and a message."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.commit = status, message, code, commit


@dataclass(frozen=True)
class Account:
    """Whom a token stands for, and what it may do."""

    name: str
    role: str = "write"
    organizations: tuple[str, ...] = ()

    def may_write(self, namespace: str) -> bool:
        return self.role == "write" and namespace in (self.name, *self.organizations)


@dataclass(frozen=True)
class Blob:
    """The content of a file, kept in git or as a large file."""

    content: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """The git hash of the content, or of the pointer that stands for it."""
        return git_hash(self.pointer if self.lfs else self.content)

    @property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Commit:
    """A snapshot of all files."""

    oid: str
    title: str
    date: str
    parent: str | None
    author: str
    files: Mapping[str, Blob]


@dataclass
class Repo:
    """A model or a data set: its commits, and the names that point at them."""

    kind: str
    id: str
    owner: str
    private: bool = False
    gated_for: frozenset[str] | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    def find(self, revision: str) -> Commit:
        """Gives the commit that a branch, a tag or a commit hash names."""
        for names in (self.branches, self.tags):
            if revision in names:
                return self.commits[names[revision]]
        if revision in self.commits:
            return self.commits[revision]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, revision: str) -> list[Commit]:
        """Gives the commits that led to a revision, newest first."""
        commits = [self.find(revision)]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def commit(self, branch: str, files: Mapping[str, Blob], title: str, author: str) -> Commit:
        """Puts a snapshot on a branch; the same files again make no commit."""
        parent = self.commits.get(self.branches.get(branch, ""))
        if parent is not None and dict(files) == dict(parent.files):
            return parent
        hashes = sorted((path, blob.git_oid) for path, blob in files.items())
        seed = json.dumps([self.kind, self.id, parent and parent.oid, title, hashes, len(self.commits)])
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        oid = hashlib.sha1(seed.encode()).hexdigest()
        new = Commit(oid, title, date, parent and parent.oid, author, MappingProxyType(dict(files)))
        self.commits[oid] = new
        self.branches[branch] = oid
        return new


class Store:
    """All accounts, repositories and large files; one lock for all of it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.large_files: dict[str, bytes] = {}
        self.repos: dict[tuple[str, str], Repo] = {}

    def create(self, kind: str, id: str, author: str, private: bool = False) -> Repo:
        """Makes a repository with a first commit, as the Hub does."""
        if not all(NAME.fullmatch(part) for part in id.split("/")) or id.endswith(".git"):
            raise HubError(400, f"Invalid repo name: {id}")
        if (kind, id) in self.repos:
            raise HubError(409, f"You already created this {kind} repo: {id}")
        repo = Repo(kind, id, author, private)
        patterns = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        repo.commit(MAIN, {".gitattributes": Blob(patterns.encode())}, "initial commit", author)
        self.repos[kind, id] = repo
        return repo

    def readable(self, kind: str, id: str, account: Account | None) -> Repo:
        """Gives a repository; a private one is not there for strangers."""
        repo = self.repos.get((kind, id))
        stranger = account is None or repo is None or repo.namespace not in (account.name, *account.organizations)
        if repo is None or (repo.private and stranger):
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, kind: str, id: str, account: Account | None) -> Repo:
        """Gives a repository that an account may change."""
        repo = self.readable(kind, id, account)
        self.check_namespace(repo.namespace, account)
        return repo

    @staticmethod
    def check_namespace(namespace: str, account: Account | None) -> None:
        if account is None:
            raise HubError(401, "Invalid username or password.")
        if not account.may_write(namespace):
            raise HubError(403, f'You don\'t have the rights to write under the namespace "{namespace}"')

    @staticmethod
    def check_gate(repo: Repo, account: Account | None) -> None:
        """Stops who has not been let in to a gated repository."""
        if repo.gated_for is None or (account and account.name in (repo.namespace, *repo.gated_for)):
            return
        message = f"Access to {repo.kind} {repo.id} is restricted."
        raise HubError(401 if account is None else 403, message, "GatedRepo")
