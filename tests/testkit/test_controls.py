"""Controls of the contract: a backend with one defect fails, by the tests that have the broken promise's name."""

from __future__ import annotations

import inspect

import pytest

from tests.testkit import defects

pytestmark = pytest.mark.allow_leaks(reason="what a defect leaves behind ends when it is released")

SCAN = "test_scan_is_in_order_and_paged"
IN_ORDER = "test_watch_tells_in_order"

CAUGHT = {  # on memory: defect -> the tests that must fail, and do
    defects.LostUpdate: ["test_guard_of_absence", "test_guard_of_revision", "test_all_or_nothing"],
    defects.CheckThenAct: ["test_concurrent_increments", "test_acknowledged_edits"],
    defects.SkipsWhatChangesNothing: ["test_a_guard_alone"],
    defects.TornCommit: ["test_one_commit_over_namespaces", "test_all_or_nothing", "test_more_than_it_takes"],
    defects.StandingRevision: ["test_revisions_grow", "test_concurrent_commits_have_revisions_of_their_own"],
    defects.GuardOfTheStore: ["test_a_guard_is_of_one_name"],
    defects.SameBytesSkipped: ["test_the_same_bytes_are_a_commit"],
    defects.ConflictWithoutKeys: ["test_a_conflict_names_its_keys", "test_guard_of_absence"],
    defects.ConflictOfTheFirst: ["test_a_conflict_names_its_keys"],
    defects.TalkativeConflict: ["test_errors_hold_no_values"],
    defects.TakesTooMuch: ["test_more_than_it_takes", "test_larger_than_it_takes"],
    defects.TooLargeAfterwards: ["test_more_than_it_takes", "test_larger_than_it_takes"],
    defects.TakesTooLittle: ["test_more_than_it_takes", "test_as_large_as_it_takes"],
    defects.ImplicitNamespace: [
        "test_unknown_namespace_cannot_be_written",
        "test_a_deleted_namespace_cannot_be_written",
    ],
    defects.DriversError: ["test_unknown_namespace"],
    defects.Reencoded: ["test_documents_are_kept"],
    defects.CreateResets: ["test_create_twice"],
    defects.LeavesEntries: ["test_delete_namespace"],
    defects.LoadsByPrefix: ["test_similar_names_do_not_mix"],
    defects.DeletesByPrefix: ["test_similar_names_do_not_mix", "test_hostile_namespaces"],
    defects.DeletesHistory: ["test_the_history_outlives_its_namespace", "test_hostile_namespaces"],
    defects.ListsTheCores: ["test_namespaces_are_listed_sorted"],
    defects.CutsNames: ["test_hostile_configurations"],
    defects.FoldsCase: ["test_names_that_differ_in_case"],
    defects.StaleRead: ["test_read_is_never_stale"],
    defects.PastIsPresent: ["test_older_states"],
    defects.PastUndeclared: ["test_older_states"],
    defects.LiveSnapshot: ["test_load_stays_as_it_is"],
    defects.TornLoad: ["test_load_is_one_state"],
    defects.OldRevision: ["test_load_is_what_was_committed", "test_load_has_own_commits"],
    defects.UnsortedScan: [SCAN],
    defects.ScanWithoutStart: [SCAN],
    defects.ScanWithoutLimit: [SCAN, "test_scan_gives_a_hundred"],
    defects.ScanWithoutReverse: [SCAN],
    defects.TornBatch: [IN_ORDER, "test_watch_tells_whole_commits"],
    defects.RepeatedEvent: [IN_ORDER, "test_watch_resumes"],
    defects.RepeatsNowAndThen: ["test_watch_tells_a_long_stream"],
    defects.SwallowedDelete: ["test_watch_tells_deletions", "test_deleted_namespace_is_told"],
    defects.MissesWhatIsMadeAgain: ["test_watch_misses_nothing_that_is_made_again"],
    defects.ReorderedBatches: [IN_ORDER],
    defects.MergedBatches: [IN_ORDER],
    defects.OtherRevisions: [IN_ORDER],
    defects.LyingBookmark: [IN_ORDER],
    defects.WatchesFromNow: ["test_watch_tells_what_came_after_the_load", "test_watch_resumes"],
    defects.WatchesTheFuture: ["test_watch_from_the_future"],
    defects.TellsOthers: ["test_watch_tells_only_its_namespace"],
    defects.NoSignOfLife: ["test_watch_gives_a_sign_of_life"],
    defects.OneSignOfLife: ["test_a_quiet_watch_gives_signs_of_life"],
    defects.ChokesOnGarbage: ["test_others_garbage_costs_itself"],
    defects.StopsAtGarbage: ["test_others_garbage_costs_itself"],
    defects.ChokesOnOddNames: ["test_others_odd_names_cost_themselves"],
    defects.StopsAtOddNames: ["test_others_odd_names_cost_themselves"],
    defects.EmptiesGarbage: ["test_others_garbage_costs_itself"],
    defects.SilentCompaction: ["test_a_watch_from_before_a_compaction"],
    defects.DeafWatch: ["test_watch_closes_from_another_thread"],
    defects.ErrorAtClose: ["test_watch_closes_from_another_thread", "test_close_ends_watches"],
    defects.WatchOutlivesClose: ["test_close_ends_watches"],
    defects.TakesAnyCredential: ["test_unknown_credentials_are_refused", "test_one_key_too_many"],
    defects.DriverReadsCredentials: ["test_bad_credentials"],
    defects.LeakedThread: ["test_close_leaves_nothing_behind"],
    defects.LeakedWatchThread: ["test_closed_watches_leave_nothing_behind"],
    defects.LeakedDescriptor: ["test_close_leaves_nothing_behind"],
    defects.HangingClose: ["test_close"],
    defects.ClosesOnce: ["test_close"],
    defects.WorksAfterClose: ["test_a_closed_backend_says_so"],
    defects.IdentityOfTheHandle: ["test_the_store_has_one_identity"],
    defects.Forgets: ["test_opened_again"],
    defects.NotShared: ["test_another_process", "test_a_forked_child_watches"],
    defects.WatchesUndeclared: [IN_ORDER, "test_watch_resumes"],
    defects.ResumesUndeclared: ["test_watch_resumes", "test_watch_tells_what_came_after_the_load"],
}
CAUGHT_WHEN_CUT = {  # on a faulty backend that can be taken down
    defects.HangsWhenDown: ["test_reads_without_a_connection", "test_a_commit_without_a_connection"],
    defects.DriversErrorWhenDown: ["test_reads_without_a_connection", "test_namespaces_without_a_connection"],
    defects.DeniesWhatHappened: ["test_a_commit_without_a_connection"],
    defects.LostIsNotDone: ["test_a_failing_driver_is_told_truly"],
    defects.SilentEnd: ["test_a_watch_that_loses_its_connection"],
    defects.ResyncAtEveryBreak: ["test_a_watch_that_loses_its_connection"],
}

ON_MEMORY = """
from tests.memory.test_contract import TestMemoryContract as Contract
from tests.testkit.defects import {defect} as Broken
import pytest

class TestBroken(Contract):
    seconds = 0.5

    @pytest.fixture
    def open_backend(self, credentials):
        return lambda: Broken.open(credentials)
"""
ON_FAULTY = """
from confo_memory import MemoryBackend
from tests.testkit.test_faults import TestPassesOn as Contract
from tests.testkit.defects import {defect} as Broken
import pytest, uuid

class TestBroken(Contract):
    seconds = 0.5

    @pytest.fixture
    def open_backend(self, made):
        name = uuid.uuid4().hex
        return lambda: made.append(Broken(MemoryBackend.open({{"store": name}}))) or made[-1]
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that runs contract tests in a pytest of their own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source, *tests):
        path = pytester.makepyfile(source)
        chosen = [f"{path.name}::TestBroken::{test}" for test in tests] or [path.name]
        return pytester.runpytest_inprocess("-p", "confo_testkit.plugin", "-p", "no:cacheprovider", *chosen)

    yield run
    while defects.released:
        defects.released.pop()()


def failed_tests(result):
    """Return the names of the test functions that failed themselves, not in their fixtures."""
    reports = [report for report in result.reprec.getreports("pytest_runtest_logreport") if report.when == "call"]
    return {report.nodeid.split("::")[-1].partition("[")[0] for report in reports if report.failed}


@pytest.mark.parametrize(("defect", "tests"), CAUGHT.items(), ids=[defect.__name__ for defect in CAUGHT])
def test_a_defect_is_caught(run, defect, tests):
    """A backend with this defect fails the tests of the promises that it breaks."""
    result = run(ON_MEMORY.format(defect=defect.__name__), *tests)
    assert failed_tests(result) == set(tests)


@pytest.mark.parametrize(
    ("defect", "tests"), CAUGHT_WHEN_CUT.items(), ids=[defect.__name__ for defect in CAUGHT_WHEN_CUT]
)
def test_a_defect_without_a_connection_is_caught(run, defect, tests):
    """A backend that has this defect when its store is gone fails the tests of the promises that it breaks."""
    result = run(ON_FAULTY.format(defect=defect.__name__), *tests)
    assert failed_tests(result) == set(tests)


def test_assertions_explain_themselves(run):
    """A failure in the contract shows what was compared, as in a test of one's own, and which promise broke."""
    result = run(ON_MEMORY.format(defect="LoadsByPrefix"), "test_similar_names_do_not_mix")
    result.stdout.fnmatch_lines(
        ["E *it has the entries of a namespace that begins like it", "E *assert {'database'*== {}*"]
    )


def test_without_a_defect_all_is_well(run):
    """A control of the controls: run in the same way, the backend without a defect passes, and is said to."""
    result = run(ON_MEMORY.format(defect="MemoryBackend"))
    assert failed_tests(result) == set()
    result.stdout.fnmatch_lines(["confo-memory 1.0.0.dev0 (MemoryBackend) passes confo contract 1"])


def test_every_defect_is_tried():
    """A defect that is in no table would be found by nobody."""
    helpers = {defects.Telling, defects.ChangedWatch, defects.ChangedSign, defects.ChangedClose, defects.RaisingEnd}
    classes = {it for _, it in inspect.getmembers(defects, inspect.isclass) if it.__module__ == defects.__name__}
    assert classes - helpers == CAUGHT.keys() | CAUGHT_WHEN_CUT.keys()
