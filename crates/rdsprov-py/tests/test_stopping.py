"""What other threads can do with a call: follow it by its events, stop it, and limit its time."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator

import pytest
import rdsprov
from conftest import Workspace, password
from test_apply import Session as SqlSession
from test_apply import definitions, hold_lock, ready, wait_until

TEMPLATE_LOCK = "BEGIN; COMMENT ON DATABASE template1 IS 'locked'; SELECT 'there'"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """The port of a server that accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def kinds(events: list[rdsprov.Event]) -> list[rdsprov.EventKind]:
    return [event.kind for event in events]


def test_events_before_steps(workspace: Workspace) -> None:
    plan = ready(workspace)
    events: list[rdsprov.Event] = []
    order: list[str] = []

    def begin(event: rdsprov.Event) -> None:
        events.append(event)
        order.append("begin")

    rdsprov.apply(plan, on_event=begin, on_step=lambda result: order.append("end"))
    assert set(kinds(events)) == {rdsprov.EventKind.STEPS_BEGIN}
    assert tuple(step for event in events for step in event.steps) == plan.changes
    assert events[0].message.startswith("applying 1 to ")
    assert f" of {len(plan.changes)} steps, roles and databases" in events[0].message
    # The steps of a transaction end before the next one begins.
    expected = [word for event in events for word in ("begin", *("end" for _ in event.steps))]
    assert order == expected


def test_events_while_waiting_for_the_lock(workspace: Workspace) -> None:
    plan = ready(workspace)
    cancellation = rdsprov.Cancellation()
    events: list[rdsprov.Event] = []

    def cancel(event: rdsprov.Event) -> None:
        events.append(event)
        cancellation.cancel()

    with hold_lock(workspace.server), pytest.raises(rdsprov.Cancelled) as caught:
        rdsprov.apply(plan, on_event=cancel, cancellation=cancellation)
    assert kinds(events) == [rdsprov.EventKind.WAITING_FOR_LOCK] and not events[0].steps
    assert "another run holds the lock" in events[0].message
    assert caught.value.outcome and not caught.value.outcome.committed


def test_events_while_waiting_for_a_server(
    shared_workspace: Workspace, silent_port: int
) -> None:
    shared_workspace.app("shop", "shop_owner")
    cancellation = rdsprov.Cancellation()
    events: list[rdsprov.Event] = []

    def cancel(event: rdsprov.Event) -> None:
        events.append(event)
        cancellation.cancel()

    with pytest.raises(rdsprov.Cancelled, match="stopped by the calling program") as caught:
        rdsprov.check(
            definitions(),
            connect_to=f"127.0.0.1:{silent_port}",
            on_event=cancel,
            cancellation=cancellation,
            **shared_workspace.options,
        )
    assert kinds(events) == [rdsprov.EventKind.WAITING_FOR_SERVER]
    assert "waiting up to 1 min" in events[0].message
    assert caught.value.code is rdsprov.ErrorCode.INTERRUPTED
    assert not isinstance(caught.value, rdsprov.TimedOut)


def test_events_while_waiting_for_a_login(workspace: Workspace) -> None:
    assert rdsprov.apply(ready(workspace)).converged
    cancellation = rdsprov.Cancellation()
    events: list[rdsprov.Event] = []

    def cancel(event: rdsprov.Event) -> None:
        events.append(event)
        cancellation.cancel()

    # Every login reads this catalog, and waits behind the owner, which waits for the reader.
    owner, reader = (
        {"username": f"shop_{name}", "password": password(application)}
        for name, application in (("owner", "shop"), ("reader", "reports"))
    )
    read = "BEGIN; SELECT FROM pg_class LIMIT 1; SELECT 'there'"
    vacuum = "SELECT 'there'; VACUUM FULL pg_class"
    server = workspace.server
    with SqlSession(server, "shop", read, reader), SqlSession(server, "shop", vacuum, owner):
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        wait_until(lambda: server.sql(waits) == "t")
        with pytest.raises(rdsprov.Cancelled):
            rdsprov.plan(
                definitions(), on_event=cancel, cancellation=cancellation, **workspace.options
            )
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        server.sql(f"{end} WHERE query ~ '^VACUUM'")
    assert set(kinds(events)) == {rdsprov.EventKind.WAITING_FOR_LOGIN}
    assert "for a login to database shop of " in events[0].message


def test_another_thread_cancels_a_run(workspace: Workspace) -> None:
    plan = ready(workspace)
    cancellation = rdsprov.Cancellation()
    session = rdsprov.Session(cancellation=cancellation)
    raised: list[rdsprov.Cancelled] = []

    def run() -> None:
        with pytest.raises(rdsprov.Cancelled) as caught:
            session.apply(plan)
        raised.append(caught.value)

    # CREATE DATABASE waits for the lock, and no statement before it does.
    with SqlSession(workspace.server, "postgres", TEMPLATE_LOCK):
        thread = threading.Thread(target=run)
        thread.start()
        created = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_owner')"
        wait_until(lambda: workspace.server.sql(created) == "t")
        assert not cancellation.cancelled
        cancellation.cancel()
        thread.join()
    assert raised[0].outcome and raised[0].outcome.committed
    assert "committed changes are kept" in str(raised[0]) or "run again" in str(raised[0])
    # Everything with this object ends at once; other calls do not.
    assert cancellation.cancelled and repr(cancellation) == "<Cancellation cancelled>"
    with pytest.raises(rdsprov.Cancelled):
        session.plan(definitions(), **workspace.options)
    assert rdsprov.apply(rdsprov.plan(definitions(), **workspace.options)).converged


def test_a_call_has_a_time_limit(shared_workspace: Workspace, silent_port: int) -> None:
    shared_workspace.app("shop", "shop_owner")
    with pytest.raises(rdsprov.TimedOut, match="the time of the run is over") as caught:
        rdsprov.plan(
            definitions(),
            connect_to=f"127.0.0.1:{silent_port}",
            timeout=0.2,
            **shared_workspace.options,
        )
    assert isinstance(caught.value, (TimeoutError, rdsprov.Cancelled))
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(rdsprov.UsageError, match="timeout: the value is a number of seconds"):
            rdsprov.plan(definitions(), timeout=wrong)
    with pytest.raises(TypeError, match="timeout"):
        rdsprov.plan(definitions(), timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cancellation"):
        rdsprov.plan(definitions(), cancellation=threading.Event())  # type: ignore[arg-type]


def test_a_run_has_a_time_limit(workspace: Workspace) -> None:
    plan = ready(workspace)
    audit = workspace.directory / "audit.csv"
    with hold_lock(workspace.server), pytest.raises(rdsprov.TimedOut) as caught:
        rdsprov.apply(plan, timeout=1, audit_output=audit)
    assert caught.value.outcome and not caught.value.outcome.committed
    assert "the time of the run is over" in audit.read_text()


def test_an_event_callback_that_raises(workspace: Workspace) -> None:
    plan = ready(workspace)

    def enough(event: rdsprov.Event) -> None:
        raise ZeroDivisionError(event.message)

    with pytest.raises(ZeroDivisionError, match="applying 1 to") as caught:
        rdsprov.apply(plan, on_event=enough)
    error = caught.value.__context__
    assert isinstance(error, rdsprov.ApplyError) and error.outcome
    assert not error.outcome.committed


def test_plans_keep_neither_callbacks_nor_limits(workspace: Workspace) -> None:
    ready(workspace)
    cancellation = rdsprov.Cancellation()
    words = {"cancellation": cancellation, "timeout": 300, "on_event": lambda event: None}
    plan = rdsprov.plan(definitions(), **words, **workspace.options)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(plan)) == plan
    cancellation.cancel()
    assert rdsprov.apply(plan).converged
