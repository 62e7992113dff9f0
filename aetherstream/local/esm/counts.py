"""What a mapping has done so far, in records, for progress and for the balance of a test."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Running totals. At rest `polled` = `filtered` + `succeeded` + `discarded`.

    The names follow the mapping's metrics on AWS (`PolledEventCount`, `FilteredOutEventCount`, `InvokedEventCount`,
    `FailedInvokeEventCount`); `discarded` covers `OnFailureDestinationDeliveredEventCount` and `DroppedEventCount`.
    """

    polled: int = 0
    filtered: int = 0
    invocations: int = 0
    invoked: int = 0
    failed_invocations: int = 0
    failed_invoke: int = 0
    succeeded: int = 0
    discarded: int = 0
