"""One schedule: judged, as text, and with something cut out of it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.faults import Fault
from tests.simulation.loading import LoaderVariant
from tests.simulation.recovery import RedriverVariant
from tests.simulation.replays import verdict
from tests.simulation.run import ANY, WHOLE, Cut, Setting, Simulation, Variant
from tests.simulation.spilling import DrainerVariant


def judge(
    seed: int,
    variant: Variant | None = None,
    setting: Setting = ANY,
    redriver: RedriverVariant | None = None,
    drainer: DrainerVariant | None = None,
    loader: LoaderVariant | None = None,
    cut: Cut = WHOLE,
) -> list[str]:
    """Run a schedule; what is wrong with it."""
    return verdict(Simulation(seed, variant, setting, cut, redriver, drainer, loader).run())


def schedule(
    seed: int,
    variant: Variant | None = None,
    setting: Setting = ANY,
    redriver: RedriverVariant | None = None,
    drainer: DrainerVariant | None = None,
    loader: LoaderVariant | None = None,
    cut: Cut = WHOLE,
) -> str:
    """A schedule as text: what was sent, what happened, what is wrong."""
    simulation = Simulation(seed, variant, setting, cut, redriver, drainer, loader).run()
    wrongs = verdict(simulation)
    text = [f"seed {seed}: {simulation.shape}", f"{simulation.settings}", "faults:"]
    text += [f"  {fault.value}: {rate:g}" for fault, rate in simulation.profile.rates.items()]
    for sent in simulation.stream.sent():
        text.append(f"sent {sent.name}: {' '.join(f'{item.do}({item.place})' for item in sent.items) or 'no JSON'}")
    for at, who, what, fault in simulation.world.log:
        text.append(f"{at:8.1f} {who:12} {what}" + (f"  *** {fault.value}" if fault else ""))
    text += [f"WRONG: {wrong}" for wrong in wrongs] or ["all is well"]
    return "\n".join(text)


def words(cut: Cut) -> list[str]:
    """A cut as the command line takes it."""
    said = [f"without={fault.name}" for fault in Fault if fault in cut.without]
    said += [f"drop={name}" for name in sorted(cut.dropped)]
    said += [f"spare={number}" for number in sorted(cut.spared)]
    said += [] if cut.calm_after is None else [f"calm={cut.calm_after}"]
    return said + ([f"dice={cut.dice}"] if cut.dice else [])


def cut_of(arguments: Sequence[str]) -> Cut:
    """What `words` said, read back."""
    given: dict[str, list[str]] = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        given.setdefault(name, []).append(value)
    return Cut(
        without=frozenset(Fault[name] for name in given.get("without", [])),
        dropped=frozenset(given.get("drop", [])),
        spared=frozenset(map(int, given.get("spare", []))),
        calm_after=int(given["calm"][-1]) if "calm" in given else None,
        dice=int(given["dice"][-1]) if "dice" in given else 0,
    )
