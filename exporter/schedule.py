"""When the reads of the targets are polled: one job for each read of each target."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger


class Schedule:
    """Run polls at their intervals, in seconds; a tick that comes while a poll runs is left out."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._reads: dict[str, tuple[str, ...]] = {}

    def start(self) -> None:
        """Begin to run what was and will be added."""
        self._scheduler.start()

    def add(
        self,
        target: str,
        poll: Callable[[str], Awaitable[None]],
        intervals: Mapping[str, float],
        delay: float = 0.0,
    ) -> None:
        """Poll the reads of a target, by name; for the first time after `delay` seconds."""
        first = datetime.now(UTC) + timedelta(seconds=delay)
        self._reads[target] = tuple(intervals)
        for read, seconds in intervals.items():
            self._scheduler.add_job(
                poll,
                "interval",
                args=[read],
                id=job_id(target, read),
                seconds=seconds,
                next_run_time=first,
            )

    def remove(self, target: str) -> None:
        """Poll a target no more; a poll that runs goes on."""
        for read in self._reads.pop(target):
            self._scheduler.remove_job(job_id(target, read))

    def run_now(self, target: str, reads: Iterable[str]) -> None:
        """Have reads of a target run now, such as those that waited for its connection."""
        if target in self._reads:
            for read in reads:
                job = self._scheduler.get_job(job_id(target, read))
                job.modify(next_run_time=datetime.now(UTC))

    def keep_pace(self, target: str, intervals: Mapping[str, float]) -> None:
        """Take over the intervals that are in force.

        A read that is due sooner stays so: intervals that change often would put it off for ever.
        """
        if target not in self._reads:
            return
        now = datetime.now(UTC)
        for read, seconds in intervals.items():
            job = self._scheduler.get_job(job_id(target, read))
            due = min(job.next_run_time, now + timedelta(seconds=seconds))
            job.modify(trigger=IntervalTrigger(seconds=seconds, timezone=UTC), next_run_time=due)

    def clear(self) -> None:
        """Poll nothing any more."""
        self._reads.clear()
        self._scheduler.remove_all_jobs()

    def stop(self) -> None:
        """End; polls that run are to be ended before: they would be cancelled, with an error."""
        self._scheduler.shutdown(wait=False)


def job_id(target: str, read: str) -> str:
    """Name a job; a read's name has no slash, so that two targets cannot clash."""
    return f"{read}/{target}"
