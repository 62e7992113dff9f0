"""Every error of AetherStream, grouped by what to do about it.

    AetherStreamError
    ├── Rejected              this record will never work: quarantine it, go on with the batch
    │   └── Reject            what a user's step raises to refuse a record
    ├── Retryable             the world is at fault: report the batch, Lambda brings it again
    │   └── Superseded        a newer attempt owns the shard: stop, write nothing more
    ├── ConfigurationError    somebody has to change the deployment: stop at deploy or at cold start
    └── UsageError            a command was called wrongly, or its surroundings lack something

Anything else is a bug of ours and propagates.
"""

CONFIGURATION = "configuration: "
"""A sink's reasons for refusing begin so where they are not the document's fault: somebody has to change the cluster or
the pipeline. Such refusals are counted and alarmed on."""


class AetherStreamError(Exception):
    """Base of all errors that AetherStream raises on purpose."""


class Rejected(AetherStreamError):
    """A record that can never be delivered as it is.

    `reason` is a stable word or two that groups equal causes (it goes into the fingerprint); `message` is the full
    text, with the values of this record, for a person.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.message = message or reason


class Reject(Rejected):
    """Raised by a user's Python step to refuse a record: `raise Reject("no such carrier", f"carrier {code!r}")`."""


class Retryable(AetherStreamError):
    """A throttle, a time-out, a 5xx, a sink that is down: the same records may work later."""


class Superseded(Retryable):
    """A newer attempt has claimed this shard; whatever this attempt would still write is unwanted."""


class ConfigurationError(AetherStreamError):
    """The pipeline file, the environment or the deployment is wrong; the message names the fix."""


class UsageError(AetherStreamError):
    """A command was called wrongly or lacks something it needs; the message says what to do."""
