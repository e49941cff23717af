"""Examples written by hand, in encodings that TensorFlow reads and its own writers never choose."""


def varint(number, length=1):
    """A protobuf varint; of at least so many bytes, where more than needed are wanted."""
    number &= 2**64 - 1
    out = bytearray()
    while number >= 0x80 or len(out) + 1 < length:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, payload):
    """A field that holds bytes or a message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def entry(name, feature):
    """An entry of the map of features."""
    return field(1, field(1, name.encode()) + field(2, feature))


def example(*entries):
    return field(1, b"".join(entries))


def unpacked_ints(*values, length=1):
    return field(3, b"".join(b"\x08" + varint(value, length) for value in values))


def packed_ints(*values, length=1):
    return field(3, field(1, b"".join(varint(value, length) for value in values)))


def unpacked_floats(*values):
    return field(2, b"".join(b"\x0d" + value.tobytes() for value in values))


def packed_floats(*values):
    return field(2, field(1, b"".join(value.tobytes() for value in values)))
