"""The frame of an upload's body, `varint(len(head)) head payload`: what the payload is for comes before it."""

from edgebed.wire.problems import Problem


def varint(value: int) -> bytes:
    """Protobuf's variable-length integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_frame(data: bytes, length: int, largest: int) -> tuple[bytes, int] | None:
    """(head message, where the payload begins) in the first bytes of a body of `length` bytes; None while more is needed.

    Raises Problem: 400 where the head would not end within the body, 413 where it has more than `largest` bytes.
    """
    size = at = 0
    while True:
        if at >= length or at == 5:  # 32 bits are more than any head may have
            raise Problem(400, "Malformed message", "no length before the head; send varint, head, payload")
        if at == len(data):
            return None
        byte = data[at]
        size |= (byte & 0x7F) << 7 * at
        at += 1
        if byte < 0x80:
            break
    if size > largest:
        raise Problem(413, "Head too large", f"{size} bytes are announced for the head message; send at most {largest}")
    if at + size > length:
        raise Problem(
            400, "Malformed message", f"the body ends before its head of {size} bytes; send varint, head, payload"
        )
    return (data[at : at + size], at + size) if len(data) >= at + size else None
