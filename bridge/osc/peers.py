"""Who may talk to the service: this machine, and beyond it only those who were let in by name."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CACHE_SIZE = 1_024


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where a message came from.

    Attributes:
        host: IP address.
        port: the peer's port.
        transport: `udp` or `tcp`.
    """

    host: str
    port: int
    transport: Literal["udp", "tcp"] = "udp"

    def __str__(self) -> str:
        return f"{self.transport}:{self.host}:{self.port}"


class PeerPolicy:
    """The allow-list.

    Args:
        listen: IP address that the service listens on, or `localhost`.
        allow: IP addresses and networks (`192.168.1.0/24`) beyond this machine that may talk.

    Raises:
        ValueError: an entry is no address, or the service would listen beyond this machine and let nobody in.
    """

    def __init__(self, listen: str, allow: Sequence[str] = ()) -> None:
        self.listen = "127.0.0.1" if listen == "localhost" else listen
        try:
            address = ipaddress.ip_address(self.listen)
        except ValueError as error:
            raise ValueError(f"listen {listen!r} is no IP address; give one, such as 127.0.0.1 or 0.0.0.0") from error
        self.is_ipv6 = address.version == 6
        self._networks = tuple(_network(entry) for entry in allow)
        if not address.is_loopback and not self._networks:
            raise ValueError(
                f"listen {listen!r} reaches beyond this machine, but nobody there is allowed; "
                "name the peers, such as allow 192.168.1.20 or 192.168.1.0/24, or listen on 127.0.0.1"
            )
        self._known: dict[str, bool] = {}

    def allows(self, host: str) -> bool:
        """Return whether the peer at IP address `host` may talk."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            known = self._known[host] = self._look_up(host)
        return known

    def _look_up(self, host: str) -> bool:
        try:
            address: Address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address.is_loopback or any(address in network for network in self._networks)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise ValueError(f"allow {entry!r} is no IP address or network; such as 192.168.1.20, 10.0.0.0/8") from error
