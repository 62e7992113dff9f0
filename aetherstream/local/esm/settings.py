"""The settings of one event source mapping, of Kinesis or of a table's stream, checked against AWS's ranges.

Read from what the Lambda API describes, and from a template's resource for whatever the answer lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self, cast

from aetherstream.errors import ConfigurationError
from aetherstream.local.esm.changes import is_table
from aetherstream.local.esm.events import ROLE_ARN
from aetherstream.local.esm.filters import compile_filters

StartingPosition = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]

_SECONDS_OF_MINIMUM_AGE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """One event source mapping. Ranges and defaults are those of `CreateEventSourceMapping` (Lambda API 2015-03-31).

    Raises `ConfigurationError` that names the parameter, its value and its range. Times are seconds; -1 means no limit.
    `filters` are patterns as JSON text, of which one must match. `on_failure` is the destination's ARN.
    The ARN of an enhanced fan-out consumer stands in events as it is given (AWS: unverified), and KPL aggregates are
    not opened for it.
    """

    stream_arn: str
    function_arn: str
    uuid: str = "00000000-0000-0000-0000-000000000000"
    role_arn: str = ROLE_ARN
    enabled: bool = True
    starting_position: StartingPosition = "TRIM_HORIZON"
    starting_timestamp: float | None = None
    batch_size: int = 100
    batching_window: int = 0
    parallelization_factor: int = 1
    maximum_retry_attempts: int = -1
    maximum_record_age: int = -1
    bisect: bool = False
    report_batch_item_failures: bool = False
    tumbling_window: int = 0
    filters: tuple[str, ...] = ()
    on_failure: str | None = None

    def __post_init__(self) -> None:
        """Check every range; AWS refuses the same values when a mapping is created."""
        _within("BatchSize", self.batch_size, 1, 10_000)
        _within("MaximumBatchingWindowInSeconds", self.batching_window, 0, 300)
        _within("ParallelizationFactor", self.parallelization_factor, 1, 10)
        _within("MaximumRetryAttempts", self.maximum_retry_attempts, -1, 10_000)
        _within("TumblingWindowInSeconds", self.tumbling_window, 0, 900)
        if self.maximum_record_age != -1:
            _within(
                "MaximumRecordAgeInSeconds", self.maximum_record_age, _SECONDS_OF_MINIMUM_AGE, 604_800, also="-1 or "
            )
        if self.starting_position not in ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"):
            raise ConfigurationError(
                f"StartingPosition is {self.starting_position!r}; it must be TRIM_HORIZON, LATEST or AT_TIMESTAMP"
            )
        if (self.starting_position == "AT_TIMESTAMP") != (self.starting_timestamp is not None):
            raise ConfigurationError(
                f"StartingPositionTimestamp is {self.starting_timestamp!r} with StartingPosition "
                f"{self.starting_position}; it is needed with AT_TIMESTAMP, and only there"
            )
        if self.tumbling_window and self.parallelization_factor != 1:
            raise ConfigurationError(
                f"ParallelizationFactor is {self.parallelization_factor}; it must be 1 when TumblingWindowInSeconds "
                f"({self.tumbling_window}) is set"
            )
        if is_table(self.stream_arn) and (self.starting_position == "AT_TIMESTAMP" or self.tumbling_window):
            raise ConfigurationError(
                f"the mapping of {self.stream_arn}: StartingPosition AT_TIMESTAMP is not for streams of tables, and "
                "TumblingWindowInSeconds is not carried out for them on one machine"
            )
        if self.on_failure is not None and not self.on_failure.startswith("arn:"):
            raise ConfigurationError(
                f"DestinationConfig.OnFailure.Destination is {self.on_failure!r}; it must be the ARN of an SQS queue, "
                "an SNS topic or an S3 bucket"
            )
        compile_filters(self.filters)

    @classmethod
    def from_api(
        cls,
        description: Mapping[str, Any],
        *,
        template: Mapping[str, Any] | None = None,
        role_arn: str = ROLE_ARN,
    ) -> Self:
        """Settings from the answer of `GetEventSourceMapping` (or the input of `CreateEventSourceMapping`).

        `template` holds the properties of the template's resource, for what an emulator's answer lacks.
        `role_arn` is the function's execution role, which events show as `invokeIdentityArn`.
        """
        given = {**_present(template or {}), **_present(description)}
        if "State" in given:
            given["Enabled"] = given["State"] not in ("Disabled", "Disabling")
        return cls._parse(given, role_arn)

    @classmethod
    def from_template(cls, properties: Mapping[str, Any], *, uuid: str | None = None, role_arn: str = ROLE_ARN) -> Self:
        """Settings from the resolved properties of an `AWS::Lambda::EventSourceMapping` or of SAM's `Kinesis` event.

        Numbers and booleans may be strings, as CloudFormation's parameters are.
        """
        return cls._parse({**_present(properties), **({} if uuid is None else {"UUID": uuid})}, role_arn)

    @classmethod
    def _parse(cls, given: dict[str, Any], role_arn: str) -> Self:
        stream_arn = given.get("EventSourceArn") or given.get("Stream")
        function_arn = given.get("FunctionArn") or given.get("FunctionName")
        for name, value in (("EventSourceArn", stream_arn), ("FunctionName", function_arn)):
            if not isinstance(value, str):
                raise ConfigurationError(f"{name} is {value!r}; it must be the resolved ARN of the mapping's resource")
        return cls(
            stream_arn=cast("str", stream_arn),
            function_arn=cast("str", function_arn),
            uuid=str(given.get("UUID", cls._default("uuid"))),
            role_arn=role_arn,
            enabled=_boolean("Enabled", given.get("Enabled", True)),
            starting_position=given.get("StartingPosition", cls._default("starting_position")),
            starting_timestamp=_timestamp(given.get("StartingPositionTimestamp")),
            batch_size=_integer("BatchSize", given.get("BatchSize", 100)),
            batching_window=_integer("MaximumBatchingWindowInSeconds", given.get("MaximumBatchingWindowInSeconds", 0)),
            parallelization_factor=_integer("ParallelizationFactor", given.get("ParallelizationFactor", 1)),
            maximum_retry_attempts=_integer("MaximumRetryAttempts", given.get("MaximumRetryAttempts", -1)),
            maximum_record_age=_integer("MaximumRecordAgeInSeconds", given.get("MaximumRecordAgeInSeconds", -1)),
            bisect=_boolean("BisectBatchOnFunctionError", given.get("BisectBatchOnFunctionError", False)),
            report_batch_item_failures="ReportBatchItemFailures" in given.get("FunctionResponseTypes", ()),
            tumbling_window=_integer("TumblingWindowInSeconds", given.get("TumblingWindowInSeconds", 0)),
            filters=tuple(f["Pattern"] for f in given.get("FilterCriteria", {}).get("Filters") or ()),
            on_failure=(given.get("DestinationConfig", {}).get("OnFailure") or {}).get("Destination"),
        )

    @classmethod
    def _default(cls, name: str) -> Any:
        return cls.__dataclass_fields__[name].default


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _within(name: str, value: int, low: int, high: int, also: str = "") -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name} is {value}; it must be {also}{low} to {high}")


def _integer(name: str, value: object) -> int:
    try:
        return int(cast("str", value))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number") from None


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ConfigurationError(f"{name} is {value!r}; it must be true or false")


def _timestamp(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.timestamp()
    try:
        return float(cast("str", value))
    except (TypeError, ValueError):
        raise ConfigurationError(f"StartingPositionTimestamp is {value!r}; it must be epoch seconds") from None
