"""What the stand-in answers when it refuses, and how an error of PostgreSQL reads when Redshift says it."""

from __future__ import annotations

from collections.abc import Mapping

BYTES_CHECK = "bytes:"
"""How the constraint is called that holds a column to its bytes; the column's name follows."""


class StandInError(Exception):
    """An error for the client: SQLSTATE, message, and what more is to be said."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


class NotSupported(StandInError):
    """Something that Redshift may know and the stand-in does not, or that only PostgreSQL knows."""

    def __init__(self, what: str) -> None:
        super().__init__("0A000", f"{what}: not supported by AetherStream's stand-in for Redshift")


class CopyFailed(StandInError):
    """A COPY that can't go on. Redshift: SQLSTATE XX000 for everything that a load meets."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__("XX000", message, detail)


class SpectrumError(CopyFailed):
    """What a COPY of Parquet meets in an object: Redshift reads it through Spectrum, and words it so."""

    def __init__(self, context: str) -> None:
        rule = "-" * 47
        told = f"error:  Spectrum Scan Error\n  code:      15007\n  context:   {context}"
        super().__init__("Spectrum Scan Error", f"\n  {rule}\n  {told}\n  {rule}\n")
        self.context = context


def as_redshift(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields of an ErrorResponse as Redshift words them; those that it words alike come back as they are.

    Fields are told by the letters of the protocol: C is the SQLSTATE, M the message, D the detail, n a constraint.
    """
    told = dict(fields)
    code, constraint = told.get("C"), told.get("n", "")
    if code == "40001":
        # Redshift: the message is nothing but the number, and the table and the transactions stand in the detail.
        told.update(
            C="XX000",
            M="1023",
            D="Serializable isolation violation on table - 0, transactions forming the cycle are: 0, 0 (pid:0)",
        )
    elif code == "21000" and told.get("M", "").startswith("MERGE command cannot affect row a second time"):
        told.update(C="XX000", M="Found multiple matches to update the same tuple.")
    elif code == "23514" and constraint.startswith(BYTES_CHECK):
        column = constraint.removeprefix(BYTES_CHECK)
        told.update(C="22001", M=f'value too long for the type of column "{column}", which counts bytes')
        told.pop("D", None)
    elif code == "28P01":
        told["C"] = "28000"
    else:
        return told
    for names_of_postgres in ("H", "s", "t", "n", "F", "L", "R"):
        told.pop(names_of_postgres, None)
    return told
