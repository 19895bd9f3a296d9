"""A backend that can less and says so keeps the contract: each capability left out, refused in the right way."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from confo import Batch, NotSupported, ResyncNeeded, Watch
from confo_memory import MemoryBackend
from confo_testkit.contract import BackendContract, CompactionContract


def declaring(**capabilities):
    """Return the memory backend's capabilities, but for these."""
    return dataclasses.replace(MemoryBackend.capabilities, **capabilities)


class Silent(MemoryBackend):
    """Cannot watch."""

    capabilities = declaring(push=False, resumable=False, every_commit=False)

    def watch(self, namespace, after):
        raise NotSupported("this backend does not tell of changes")


class Forgetful(MemoryBackend):
    """Watches from now on and cannot resume."""

    capabilities = declaring(resumable=False)

    def watch(self, namespace, after):
        with self._open().changed:
            if list(self.store.after(namespace, after)):
                raise ResyncNeeded("something was committed since")
            return super().watch(namespace, after)


class Merging(MemoryBackend):
    """Tells what happened meanwhile as one batch."""

    capabilities = declaring(every_commit=False)

    def watch(self, namespace, after):
        return MergingWatch(super().watch(namespace, after))


class MergingWatch(Watch):
    """Merges what is ready."""

    def __init__(self, inner):
        self.inner = inner

    def __next__(self):
        batch = next(self.inner)
        while batch.entries and self.inner._ready:
            more = next(self.inner)
            batch = Batch(more.revision, {**batch.entries, **more.entries})
        return batch

    def close(self):
        self.inner.close()


class Lesser(BackendContract, CompactionContract):
    """The contract on one of them."""

    kind: type[MemoryBackend]

    @pytest.fixture
    def open_backend(self):
        """Open a store that only this test knows the name of."""
        name = uuid.uuid4().hex
        return lambda: self.kind.open({"store": name})

    @pytest.fixture
    def compact(self, backend):
        """Let the store forget its past."""
        return lambda: backend.store.compact()


class TestSilent(Lesser):
    """Without ``push`` every watch is refused."""

    kind = Silent


class TestForgetful(Lesser):
    """Without ``resumable`` what was missed is a resync."""

    kind = Forgetful


class TestMerging(Lesser):
    """Without ``every_commit`` several whole commits may come as one."""

    kind = Merging
