"""How the recovery function's answers read, for people and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from aetherstream.commands.words import count

Answer = Mapping[str, Any]

LISTED = 4
"""Most objects that a report names one by one."""
_BAD = {"held", "failed", "refused", "unusable"}


class Teller:
    """Prints the answers of a command as they come, and ends it with 1 where one of them was bad."""

    def __init__(self, *, dry_run: bool, as_json: bool) -> None:
        self._dry_run = dry_run
        self._as_json = as_json
        self._number = 0
        self._bad = 0

    def tell(self, answer: Answer, **facts: object) -> bool:
        """Print one answer, and say whether it is a good one; `facts` come first: what the answer is about."""
        self._number += 1
        is_bad = answer["state"] in _BAD
        self._bad += is_bad
        if self._as_json:
            click.echo(json.dumps({**facts, **answer}))
        else:
            about = "".join(f"{fact}: " for fact in facts.values())
            click.echo(f"[{self._number}] {about}{self._state(answer, is_bad=is_bad)}")
            for line in _lines(answer):
                click.echo(f"  {line}")
        return not is_bad

    def _state(self, answer: Answer, *, is_bad: bool) -> str:
        would = "would be " if self._dry_run else ""
        if "finished" in answer:
            return f"{answer['finished']:,} of {count(answer['records'], 'record')} {would}replayed"
        return str(answer["state"] if is_bad else f"{would}{answer['state']}")

    def end(self, summary: str = "") -> None:
        """Say what it came to, and that a dry run has changed nothing."""
        if not self._as_json:
            if summary or not self._number:
                click.echo(summary or "nothing is waiting")
            if self._dry_run:
                click.echo("nothing has been changed: --yes does it")
        if self._bad:
            sys.exit(1)


def _lines(answer: Answer) -> Iterator[str]:
    if "message" in answer:
        yield answer["message"]
    if "report" in answer:
        yield from accounting(answer["report"])
    for report in answer.get("reports", ()):
        first, *more = accounting(report)
        yield f"{report['shard']}: {first}"
        yield from more
    if answer.get("not_final"):
        yield f"{count(answer['not_final'], 'record')} left: the batch that refused them is not completed yet"
    yield from (f"UNUSABLE  {message}" for message in answer.get("unusable", ()))
    if "audit" in answer:
        yield f"audit: {answer['audit']}"


def causes(report: Answer) -> list[str]:
    """Why sinks did not take what is left, at most three."""
    return list(dict.fromkeys(report["undelivered"].values()))[:3]


def accounting(report: Answer) -> Iterator[str]:
    """A redrive's report in words: the equation, then where things went."""
    would = "would be " if report["dry_run"] else ""
    parts = [
        (report["passed"], f"{would}delivered"),
        (report["held"], "delivered before"),
        (report["quarantined"], f"{would}quarantined"),
        (report["still_quarantined"], "in the quarantine already"),
        (report["dropped"], "dropped by a filter"),
        (report["not_chosen"], "not chosen"),
        (report["left"], "left: a sink can't take them now"),
    ]
    told = " + ".join(f"{number:,} {words}" for number, words in parts if number) or "nothing"
    yield f"{count(report['records'], 'record')} = {told}"
    for name, share in report["sinks"].items():
        made = count(share["events"], "event")
        yield f"  {name}: {made}, {share['delivered']:,} {would}delivered, {share['held']:,} held before"
    for name, share in report.get("aggregates", {}).items():
        more = "".join(f", {share[what]:,} {what}" for what in ("late", "quarantined") if share[what])
        yield f"  aggregate {name}: {count(share['events'], 'event')}, {share['folded']:,} {would}folded{more}"
    for reason, number in sorted(report["reasons"].items()):
        yield f"  refused {number:,}: {reason}"
    yield from (f"  left: {why}" for why in causes(report))
    wrote = "would write" if report["dry_run"] else "wrote"
    if len(report["objects"]) > LISTED:
        yield f"  {wrote} {count(len(report['objects']), 'object')} (--json names them)"
    else:
        yield from (f"  {wrote} s3://{location}" for location in report["objects"])
