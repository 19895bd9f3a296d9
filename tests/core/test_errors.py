"""One root, leaves that are built-ins too, and messages as they were written."""

from __future__ import annotations

import inspect
import pickle
import traceback

import pytest

import confo
from confo import ConfoError, Exceptions, errors

LEAVES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, ConfoError) and cls is not ConfoError
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_error_is_a_built_in_too(leaf):
    """Every error is a ConfoError and the built-in it resembles, is documented, and is in the facade."""
    built_ins = [base for base in leaf.__mro__ if base.__module__ == "builtins"]
    assert built_ins[0] not in (Exception, BaseException, object)
    assert leaf.__doc__
    assert getattr(confo, leaf.__name__) is leaf


@pytest.mark.parametrize("leaf", [ConfoError, *LEAVES])
def test_an_error_keeps_its_place_and_its_message(leaf):
    """An error's text is its message unchanged, its place is in attributes, and both survive pickling."""
    error = leaf("what, 'where' and what to do", namespace="sales", configuration="database", revision=7)
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == "what, 'where' and what to do"
        assert (one.namespace, one.configuration, one.revision) == ("sales", "database", 7)
        assert (one.backend, one.field) == (None, None)


def test_the_names_of_2021_are_aliases():
    """The classic exception names are the same classes, so old `except` clauses catch."""
    assert Exceptions.BackendsActivationException is confo.NoActiveBackend
    assert Exceptions.BackendNotFoundException is confo.BackendNotFound
    assert Exceptions.NamespaceNotLoadedException is confo.NoNamespaceChosen
    assert Exceptions.NamespaceExistsException is confo.NamespaceExists
    for name in Exceptions.__all__:
        assert issubclass(getattr(Exceptions, name), ConfoError)


def test_the_facade_is_complete():
    """Every name of the facade is there, and asking for another is an AttributeError."""
    for name in confo.__all__:
        assert getattr(confo, name) is not None
    assert list(dir(confo)) == sorted({*list(confo.__all__), "__version__"})
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        confo.Nope  # noqa: B018 - asking is the test


def test_a_drivers_error_is_kept_and_not_printed(caplog):
    """What a driver raised is printed by no traceback of ours; a program finds it, and the log has it at DEBUG."""
    with caplog.at_level("DEBUG", "confo"), pytest.raises(confo.BackendUnavailable) as caught:
        _refused()
    printed = "".join(traceback.format_exception(caught.value))
    assert printed.count("Traceback (most recent call last)") == 1
    assert "111" not in printed
    assert isinstance(caught.value.driver_error, ConnectionRefusedError)
    assert "ConnectionRefusedError: [Errno 111] not here" in caplog.text
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.driver_error) == (str(caught.value), None)
    outer = confo.NotReadyError("later")
    outer.__cause__ = caught.value
    assert outer.driver_error is caught.value.driver_error
    assert confo.ConfoError("alone").driver_error is None
    handed_over = confo.BackendUnavailable("told by an answer").instead_of(ConnectionRefusedError(111, "not here"))
    assert "111" not in "".join(traceback.format_exception(handed_over))
    assert isinstance(handed_over.driver_error, ConnectionRefusedError)


def _refused():
    try:
        raise ConnectionRefusedError(111, "not here")
    except OSError as error:
        raise confo.BackendUnavailable("cannot open the store").instead_of(error) from None
