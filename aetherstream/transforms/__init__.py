"""From validated events to the events that are delivered: built-in steps, expressions, reference tables, Python steps.

Determinism is a contract, and delivery rests on it (object keys and event ids follow from it): the same record,
pipeline version and reference tables give the same events, in whatever batch the record comes and however often. So a
step, a user's Python step too, reads no clock, draws no random numbers, does no I/O, and keeps nothing from one event
to the next. `check_determinism` finds most breaches. A Python step that returns NaN or an infinity has it written as
null, because JSON knows neither.

An event owns its top level only: values inside it may be shared with other events, so a built-in step replaces a nested
object and never changes it. A Python step gets nested values of its own.

The parts: `model` (what stands in the file), `compiler` (from there to a `Transform`), `transform` and `runner` (apply
it to a batch), a module for each family of steps, `expressions`, `tables`, `plugin`, `validation`, `determinism`.
"""
