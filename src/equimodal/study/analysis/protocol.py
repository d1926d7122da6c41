"""Whether the networks of a scale are those of the paper's protocol, so that they may speak for the paper's."""

import hashlib
from collections.abc import Iterable

from equimodal.study.analysis.claims import Ledger, Limit, data_name
from equimodal.study.analysis.names import EVERY
from equimodal.study.expansion import expand_runs
from equimodal.study.params import Params


def limits(settings: Params, paper: Params, ledger: Ledger) -> dict[str, Limit]:
    """Say of each data set that cannot speak for the paper's why; others are not in it.

    Those speak whose networks are all of the paper's protocol, whatever their seeds. `all` is there as soon as one data set
    is. Some other networks of real data are known, by their fingerprint. The ledger has the fingerprints of the protocol:
    params.yaml, which all scales share, may have been changed.
    """
    ours, theirs = networks(settings, ledger), networks(paper, ledger)
    other = f"networks of the scale {settings.scale} have other settings than the paper's protocol"
    if settings.scale == paper.scale:
        other = "the settings of the paper scale are no longer the paper's"
    same = ledger.protocol.get("analysis") == fingerprint([settings.analysis.model_dump_json()])
    limits = {}
    for name, dataset in settings.datasets.items():
        asked, wanted = ours.get(name, set()), theirs.get(name, set())
        known = not asked or ledger.protocol.get(name) == fingerprint(wanted)
        parts = ["its data are stand-ins"] if dataset.is_stand_in else []
        parts += [] if known and same and asked <= wanted else [other]
        real = ledger.others.get(name, {}).get(fingerprint(asked)) if same else None
        if parts == [other] and real:
            limits[name] = Limit(real, real=True)
        elif parts:
            limits[name] = Limit("; ".join(parts))
    if limits:
        names = ", ".join(map(data_name, limits))
        limits[EVERY] = Limit(f"data of {names} cannot speak for the paper's")
    return limits


def networks(settings: Params, ledger: Ledger) -> dict[str, set[str]]:
    """Data set -> the settings of the networks that claims rest on, without their seeds, as JSON."""
    asked = {e for c in ledger.claims.values() for e in c.experiments} & {*settings.experiments}
    every = settings.model_copy(update={"leave_out": ()})
    found: dict[str, set[str]] = {}
    for spec in (spec for e in asked for spec in expand_runs(every, e).values()):
        if spec.fidelity == ledger.fidelity:
            seedless = spec.model_copy(update={"seed": 0}).model_dump_json()
            found.setdefault(spec.dataset, set()).add(seedless)
    return found


def fingerprint(networks: Iterable[str]) -> str:
    """Return a hash of the settings of networks, whatever their order."""
    return hashlib.sha256("\n".join(sorted(networks)).encode()).hexdigest()[:16]
