"""`aetherstream dlq list | show | redrive | discard`: batches that Lambda gave up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from aetherstream.commands.answers import Teller
from aetherstream.commands.deployed import Deployed, on_a_stack
from aetherstream.commands.recovery import (
    Recovery,
    json_option,
    objects,
    reader,
    wait_option,
    where_option,
    why_option,
    yes_option,
)
from aetherstream.commands.words import count
from aetherstream.errors import UsageError

if TYPE_CHECKING:
    from aetherstream.recovery.dead_letters import DeadLetter
    from aetherstream.recovery.marks import LetterMark

HIDDEN_SECONDS = 1000
"""How long others do not see a message: longer than the recovery function may run."""

_queue_option = click.option(
    "--queue", metavar="URL", help="Messages of an SQS queue (of a mapping's destination, or an SNS topic's) instead."
)
_function_option = click.option(
    "--function", metavar="NAME", help="Dead letters of this function, which was the pipeline's before."
)


@click.group(short_help="Batches that Lambda gave up: show, bring back.")
def dlq() -> None:
    """Look at dead letters, bring them back through the pipeline as it is deployed now, or discard them.

    Nothing is removed: what was done is marked, and stands in the audit trail.
    """


@dlq.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were redriven or discarded.")
@_queue_option
@_function_option
@json_option
@on_a_stack
def list_(
    *, everything: bool, queue: str | None, function: str | None, as_json: bool, deployed: Callable[[], Deployed]
) -> None:
    """Show what is there, since when, and why."""
    stack = deployed()
    recovery = Recovery(stack)
    shown = unusable = records = 0
    marks = {} if queue else _marks(stack, recovery).letters()
    for place, key, letter in _letters(stack, recovery, queue, function):
        mark = marks.get(key)
        if mark is not None and mark.state != "partial" and not everything:
            continue
        if as_json:
            click.echo(json.dumps(_facts(place, letter, mark)))
        elif isinstance(letter, str):
            click.echo(f"UNUSABLE  {letter}")
        else:
            _row(key, letter, mark)
        unusable += isinstance(letter, str)
        shown += not isinstance(letter, str)
        records += 0 if isinstance(letter, str) else letter.size
    if not as_json:
        bad = f"; {unusable} unusable" if unusable else ""
        click.echo(f"{count(shown, 'dead letter')}, {count(records, 'Kinesis record')}{bad}")


@dlq.command()
@click.argument("key")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="At most so many records.")
@json_option
@on_a_stack
def show(*, key: str, limit: int, as_json: bool, deployed: Callable[[], Deployed]) -> None:
    """Show one dead letter, named by its key or by an end of it, with its decoded records."""
    from aetherstream.producer.rendering import decoded
    from aetherstream.recovery.dead_letters import parse

    stack = deployed()
    bucket = stack.output("DeadLetterBucketName")
    found = _one(stack, bucket, key)
    letter = parse(f"s3://{bucket}/{found}", reader(stack).get(bucket, found) or b"")
    if not as_json:
        for name, value in letter.summary().items():
            click.echo(f"{name:<14} {value}")
    if letter.batch is None:
        click.echo("its records are in the stream alone; `aetherstream dlq redrive` reads them again", err=True)
        return
    for number, line in enumerate(decoded(letter.batch, positions=True)):
        if number == limit:
            click.echo(f"... --limit {limit}", err=True)
            break
        click.echo(json.dumps(line, ensure_ascii=False))


@dlq.command()
@click.argument("keys", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every dead letter that is waiting.")
@where_option
@_queue_option
@yes_option
@wait_option
@why_option
@_function_option
@json_option
@on_a_stack
def redrive(**options: Any) -> None:
    """Push dead letters through the deployed pipeline; each sink gets only what it does not hold.

    KEYS name them, whole or by an end. With --where over the decoded records the rest of a letter stays. What is
    refused again is in the quarantine, with the reason of now. May be repeated at any time, after any interruption.
    """
    _act("dlq redrive", **options)


@dlq.command()
@click.argument("keys", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every dead letter that is waiting.")
@_queue_option
@yes_option
@wait_option
@why_option
@_function_option
@json_option
@on_a_stack
def discard(**options: Any) -> None:
    """Give dead letters up: none of their records is delivered any more.

    They stay in the bucket until its lifecycle rule ends them, marked, and may still be redriven by their key.
    """
    _act("dlq discard", **options, where=None)


def _act(
    do: str,
    *,
    keys: tuple[str, ...],
    everything: bool,
    where: str | None,
    queue: str | None,
    yes: bool,
    wait: int,
    why: str | None,
    function: str | None,
    as_json: bool,
    deployed: Callable[[], Deployed],
) -> None:
    if where:
        from aetherstream.recovery.selection import expression

        expression(where)
    if bool(keys) + everything + bool(queue) != 1:
        raise UsageError("say which dead letters: their KEYS (an end of one is enough), --all, or --queue URL")
    stack = deployed()
    recovery = Recovery(stack, wait=wait)
    request = {"do": do, "where": where, "dry_run": not yes, "why": why, "function": function}
    teller = Teller(dry_run=not yes, as_json=as_json)
    messages = _Queue(stack, queue) if queue else None
    for name, more in _chosen(stack, recovery, keys, messages):
        answer = recovery.ask({**request, **more})
        if teller.tell(answer, letter=name) and messages is not None and yes and answer["state"] != "partial":
            messages.delete(name)
    teller.end()


def _chosen(
    stack: Deployed, recovery: Recovery, keys: Sequence[str], queue: _Queue | None
) -> Iterator[tuple[str, dict[str, str]]]:
    """What to ask for, by name."""
    if queue is not None:
        for message, body in queue.messages():
            yield message, {"letter": body}
        return
    bucket = stack.output("DeadLetterBucketName")
    if keys:
        for key in [_one(stack, bucket, key) for key in keys]:
            yield key, {"key": key}
        return
    from aetherstream.recovery.dead_letters import PREFIX

    marks = _marks(stack, recovery).letters()
    for key in objects(stack, bucket, PREFIX):
        mark = marks.get(key)
        if mark is None or mark.state == "partial":
            yield key, {"key": key}


def _one(stack: Deployed, bucket: str, named: str) -> str:
    """The key of the one dead letter that ends so. Raises UsageError where it is not one."""
    from aetherstream.recovery.dead_letters import PREFIX

    found = [key for key in objects(stack, bucket, PREFIX) if key.endswith(named)]
    if len(found) != 1:
        many = f"{len(found)} dead letters end" if found else "no dead letter ends"
        raise UsageError(f"{many} in {named!r}: `aetherstream dlq list --all` shows their keys")
    return found[0]


def _marks(stack: Deployed, recovery: Recovery) -> Any:
    from aetherstream.delivery.recorded import RecordedObjects
    from aetherstream.recovery.marks import Marks

    about = recovery.about
    return Marks(RecordedObjects(), reader(stack), bucket=about["bucket"], pipeline=about["pipeline"])


def _letters(
    stack: Deployed, recovery: Recovery, queue: str | None, function: str | None
) -> Iterator[tuple[str, str, DeadLetter | str]]:
    """Place, key and content of each; instead of the content of a bad one, what is wrong with it."""
    from aetherstream.recovery.dead_letters import PREFIX, UnusableLetter, parse

    about = recovery.about
    stream, function = about["stream"], function or about.get("function")
    found: Iterator[tuple[str, str, bytes]]
    if queue:
        found = ((message, message, body.encode()) for message, body in _Queue(stack, queue).messages())
    else:
        bucket, store = stack.output("DeadLetterBucketName"), reader(stack)
        keys = objects(stack, bucket, PREFIX)
        found = ((f"s3://{bucket}/{key}", key, store.get(bucket, key) or b"") for key in keys)
    for place, key, body in found:
        try:
            yield place, key, parse(place, body, stream=stream, function=function)
        except UnusableLetter as error:
            yield place, key, error.message


class _Queue:
    """The messages of an SQS queue, each once; what is not deleted is visible to others again at the end."""

    def __init__(self, stack: Deployed, url: str) -> None:
        self._client = stack.client("sqs")
        self._url = url
        self._receipts: dict[str, str] = {}

    def messages(self) -> Iterator[tuple[str, str]]:
        """Id and body of each. Raises UsageError where the queue can't be read."""
        try:
            while True:
                answer = self._ask("receive_message", MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_SECONDS)
                found = [one for one in answer.get("Messages", []) if one["MessageId"] not in self._receipts]
                if not found:
                    return
                for one in found:
                    self._receipts[one["MessageId"]] = one["ReceiptHandle"]
                    yield one["MessageId"], one["Body"]
        finally:
            for receipt in self._receipts.values():
                self._ask("change_message_visibility", ReceiptHandle=receipt, VisibilityTimeout=0)

    def delete(self, message: str) -> None:
        """Delete a message."""
        self._ask("delete_message", ReceiptHandle=self._receipts.pop(message))

    def _ask(self, operation: str, **request: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(QueueUrl=self._url, **request)
        except (BotoCoreError, ClientError) as error:
            raise UsageError(f"--queue {self._url}: {error}") from error


def _row(key: str, letter: DeadLetter, mark: LetterMark | None) -> None:
    why = letter.condition + (f" ({letter.function_error})" if letter.function_error else "")
    state = mark.state if mark else "waiting"
    click.echo(
        f"{letter.at}  {state}  {count(letter.size, 'record')}  {letter.shard}  {why}, "
        f"{count(letter.attempts, 'attempt')}"
    )
    click.echo(f"  {letter.first} to {letter.last}, arrived {letter.first_arrival} to {letter.last_arrival}")
    click.echo(f"  {key}")


def _facts(place: str, letter: DeadLetter | str, mark: LetterMark | None) -> dict[str, Any]:
    if isinstance(letter, str):
        return {"place": place, "state": "unusable", "message": letter}
    return {**letter.summary(), "state": mark.state if mark else "waiting"}
