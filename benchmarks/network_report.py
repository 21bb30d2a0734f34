"""The tables of bench_networks.py."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import harness
from product_peak import Peak

OURS = ("ours, residual u8", "ours")  # the first that was measured is compared
Times = Mapping[str, Mapping[str, float]]


def ratio(times: Times, network: str, name: str) -> float | None:
    """Our time in those of the best peer's on int8; above 1, it is faster."""
    peers = [found[network] for peer, found in times.items() if "int8" in peer and network in found]
    return times[name][network] / min(peers) if peers and network in times.get(name, {}) else None


def table(times: Times, operations: Mapping[str, int], peak: Peak | None, threads: int) -> str:
    """A row for each network: our times, their share of the peak and of the best int8 peer's time; each peer's time."""
    ours = [name for name in OURS[::-1] if times.get(name)]
    peers = [name for name in times if name not in OURS and times[name]]
    networks = list(dict.fromkeys(network for found in times.values() for network in found))
    head = ["network", *(part for name in ours for part in (name, *(["of peak"] if peak else []), "/ best int8 peer")),
            *peers]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for network in networks:
        cells = [network]
        for name in ours:
            found = times[name].get(network)
            share = ratio(times, network, name)
            cells.append("-" if found is None else harness.duration(found))
            if peak:
                cells.append("-" if found is None else
                             f"{100 * operations[network] / found / (peak.speed * threads):.0f} %")
            cells.append("-" if share is None else f"{share:.2f}")
        cells += [harness.duration(times[name][network]) if network in times[name] else "-" for name in peers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mean(times: Times, networks: Sequence[str], name: str) -> float | None:
    """The geometric mean of our shares of the best peer's time."""
    shares = [share for network in networks if (share := ratio(times, network, name)) is not None]
    return math.exp(sum(map(math.log, shares)) / len(shares)) if shares else None


def worst(times: Times, count: int = 3) -> list[str]:
    """The networks in which we take the largest share of the best peer's time."""
    shares = {network: share for network in times.get("ours", {})
              if (share := ratio(times, network, "ours")) is not None}
    return sorted(shares, key=lambda network: -shares[network])[:count]
