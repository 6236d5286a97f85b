"""Who blocks whom: from the locks that are waited for to the sessions at the root of it.

PostgreSQL is asked for the blockers of one waiter in each queue, since asking for every one costs
a quadratic time. A queue is everybody who wants the same lock in the same mode: what blocks its
first blocks all of it. So the graph is one of queues, whose roots are sessions that wait for
nobody.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from exporter.snapshot import Activity, PreparedLock, PreparedTransaction, Session

PREPARED: Final = 0
"""What pg_blocking_pids gives instead of a pid for a prepared transaction."""
SAFE_SNAPSHOT: Final = "SafeSnapshot"
"""The wait_event of a SERIALIZABLE READ ONLY DEFERRABLE transaction, which waits for no lock."""

# Of the weakest to the strongest: PostgreSQL's documentation, table "Conflicting Lock Modes".
_CONFLICTS: Final[Mapping[str, frozenset[str]]] = {
    mode: frozenset(f"{other}Lock" for other in others.split())
    for mode, others in {
        "AccessShareLock": "AccessExclusive",
        "RowShareLock": "Exclusive AccessExclusive",
        "RowExclusiveLock": "Share ShareRowExclusive Exclusive AccessExclusive",
        "ShareUpdateExclusiveLock": "ShareUpdateExclusive Share ShareRowExclusive Exclusive"
        " AccessExclusive",
        "ShareLock": "RowExclusive ShareUpdateExclusive ShareRowExclusive Exclusive"
        " AccessExclusive",
        "ShareRowExclusiveLock": "RowExclusive ShareUpdateExclusive Share ShareRowExclusive"
        " Exclusive AccessExclusive",
        "ExclusiveLock": "RowShare RowExclusive ShareUpdateExclusive Share ShareRowExclusive"
        " Exclusive AccessExclusive",
        "AccessExclusiveLock": "AccessShare RowShare RowExclusive ShareUpdateExclusive Share"
        " ShareRowExclusive Exclusive AccessExclusive",
    }.items()
}

Blocker = int | PreparedTransaction
"""A session's pid, its leader's for a parallel query, or a prepared transaction."""


class _Lock(NamedTuple):
    """What a queue waits for, and how it is wanted."""

    lock: str
    mode: str


@dataclass(slots=True)
class _Queue:
    """Those who want a lock in a mode, and who is in their way."""

    members: set[int] = field(default_factory=set)
    blockers: set[Blocker] = field(default_factory=set)


class Root(NamedTuple):
    """Who blocks others and waits for nobody, and how many sessions wait behind it."""

    blocker: Blocker
    victims: int


class WaitGraph(NamedTuple):
    """The roots, and the number of links of the longest chain."""

    roots: tuple[Root, ...]
    depth: int


def leader(session: Session) -> int:
    """Give the pid that stands for a session: a parallel worker's is its leader's."""
    return session.leader_pid or session.pid


def wait_graph(activity: Activity) -> WaitGraph:
    """Find the roots of all waits.

    A waiter whose blocker is not known (a standby's startup process, a lock that was granted
    meanwhile) has no root, and neither has a deadlock that is not resolved yet.
    """
    queues = _queues(activity)
    if not queues:
        return WaitGraph((), 0)
    behind = _behind(queues)
    waiting = frozenset().union(*(queue.members for queue in queues))
    blocking: dict[Blocker, list[int]] = defaultdict(list)
    for number, queue in enumerate(queues):
        for blocker in queue.blockers - waiting:
            blocking[blocker].append(number)
    return WaitGraph(
        tuple(
            Root(blocker, len(_victims(direct, queues, behind)))
            for blocker, direct in blocking.items()
        ),
        _depth(behind),
    )


def _queues(activity: Activity) -> list[_Queue]:
    """Sort the waiters into queues."""
    queues: defaultdict[_Lock, _Queue] = defaultdict(_Queue)
    for session in activity.sessions:
        if (lock := _awaited(session)) is not None:
            queue = queues[lock]
            queue.members.add(leader(session))
            queue.blockers.update(_blockers(session, lock, activity.prepared))
    for queue in queues.values():
        queue.blockers -= queue.members
    return list(queues.values())


def _awaited(session: Session) -> _Lock | None:
    """Tell what a session waits for, if it does."""
    if session.lock_wait is not None:
        return _Lock(session.lock_wait, session.lock_mode or "")
    if session.wait_event == SAFE_SNAPSHOT:
        return _Lock(SAFE_SNAPSHOT, str(session.pid))
    return None


def _blockers(session: Session, lock: _Lock, prepared: Iterable[PreparedLock]) -> Iterator[Blocker]:
    """Yield who is in the way of a session that was asked for."""
    for pid in session.blockers or ():
        if pid != PREPARED:
            yield pid
        else:
            conflicting = _CONFLICTS.get(lock.mode, frozenset())
            held = (p for p in prepared if p.lock == lock.lock and p.mode in conflicting)
            yield from (p.holder for p in held)


def _behind(queues: list[_Queue]) -> list[list[int]]:
    """Give for each queue the queues that one of its members blocks."""
    member_of: defaultdict[Blocker, list[int]] = defaultdict(list)
    for number, queue in enumerate(queues):
        for pid in queue.members:
            member_of[pid].append(number)
    behind: list[set[int]] = [set() for _ in queues]
    for number, queue in enumerate(queues):
        for blocker in queue.blockers:
            for ahead in member_of.get(blocker, ()):
                behind[ahead].add(number)
    return [sorted(numbers) for numbers in behind]


def _victims(direct: list[int], queues: list[_Queue], behind: list[list[int]]) -> set[int]:
    """Give everybody in these queues and in those behind them."""
    reached, waiting = set(direct), list(direct)
    while waiting:
        new = set(behind[waiting.pop()]) - reached
        reached |= new
        waiting += new
    return set().union(*(queues[number].members for number in reached))


def _depth(behind: list[list[int]]) -> int:
    """Give the length of the longest chain of queues; one that bites its tail is cut open."""
    ahead = [0] * len(behind)
    for numbers in behind:
        for number in numbers:
            ahead[number] += 1
    depths = [1] * len(behind)
    left = dict.fromkeys(range(len(behind)))
    ready = [number for number in left if not ahead[number]]
    while left:
        number = ready.pop() if ready else next(iter(left))
        del left[number]
        for follower in behind[number]:
            if follower in left:
                depths[follower] = max(depths[follower], depths[number] + 1)
                ahead[follower] -= 1
                if not ahead[follower]:
                    ready.append(follower)
    return max(depths, default=0)
