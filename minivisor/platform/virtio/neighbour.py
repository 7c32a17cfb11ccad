"""Somebody to talk to on a switch: a host that answers ARP and ping, and nothing else.

A guest that is alone on its wire cannot tell whether its network works. This one has an address, 10.0.2.2 unless another is
given, and answers whoever asks for it (ARP) or pings it (ICMP echo). Its answers depend on the questions alone.

Source: RFC 826 (ARP), RFC 791 and 1071 (IPv4 and its checksum), RFC 792 (ICMP echo).
"""

from __future__ import annotations

from ipaddress import IPv4Address
from struct import Struct, pack, unpack

from minivisor.platform.virtio.switch import Switch

__all__ = ["Neighbour", "checksum"]

ETHERNET = Struct(">6s6sH")
ARP = Struct(">HHBBH6s4s6s4s")  # hardware, protocol, their lengths, operation, sender's two addresses, target's two
# Version and length, service, total, id, fragment, time to live, protocol, checksum, from, to.
IP = Struct(">BBHHHBBH4s4s")
TYPE_ARP, TYPE_IP = 0x0806, 0x0800
ARP_HEAD, REQUEST, REPLY = (1, TYPE_IP, 6, 4), 1, 2
VERSION_4, ICMP, TTL = 0x45, 1, 64  # 0x45: IPv4, a header of five words, no options
ECHO_REQUEST, ECHO_REPLY = 8, 0
FRAGMENT = 0x3FFF  # more fragments, or an offset


def checksum(data: bytes) -> int:
    """The Internet checksum: the ones' complement of the ones' complement sum of 16-bit words (RFC 1071)."""
    padded = data + b"\0" * (len(data) & 1)
    total: int = sum(unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Neighbour:
    """A host on a switch. address: its IPv4 address. mac: its MAC address."""

    def __init__(self, switch: Switch, address: str = "10.0.2.2", mac: bytes = b"\x02\x6d\x76\0\xff\xff") -> None:
        self.address, self.mac = IPv4Address(address).packed, mac
        self._tap = switch.tap(self._heard, outside=False)

    def _heard(self, frame: bytes) -> None:
        destination, source, kind = ETHERNET.unpack_from(frame)
        payload = frame[ETHERNET.size :]
        answer = None
        if kind == TYPE_ARP:
            answer = self._arp(payload)
        elif kind == TYPE_IP and destination == self.mac:
            answer = self._ip(payload)
        if answer is not None:
            self._tap.send(ETHERNET.pack(source, self.mac, kind) + answer)

    def _arp(self, payload: bytes) -> bytes | None:
        """Who has our address? We have."""
        if len(payload) < ARP.size:
            return None
        *head, operation, sender_mac, sender, _target_mac, target = ARP.unpack_from(payload)
        if tuple(head) != ARP_HEAD or operation != REQUEST or target != self.address:
            return None
        return ARP.pack(*ARP_HEAD, REPLY, self.mac, self.address, sender_mac, sender)

    def _ip(self, payload: bytes) -> bytes | None:
        """An echo request in one piece comes back as its reply."""
        if len(payload) < IP.size:
            return None
        version, _service, total, number, fragment, _ttl, protocol, _sum, source, target = IP.unpack_from(payload)
        message = payload[IP.size : total]
        if (
            version != VERSION_4
            or fragment & FRAGMENT
            or protocol != ICMP
            or target != self.address
            or total > len(payload)
        ):
            return None
        if checksum(payload[: IP.size]) or len(message) < 8 or checksum(message) or message[0] != ECHO_REQUEST:
            return None
        reply = pack(">BBH", ECHO_REPLY, 0, 0) + message[4:]
        reply = reply[:2] + pack(">H", checksum(reply)) + reply[4:]
        header = IP.pack(VERSION_4, 0, IP.size + len(reply), number, 0, TTL, ICMP, 0, self.address, source)
        return header[:10] + pack(">H", checksum(header)) + header[12:] + reply
