"""`tf.train.Example` messages and TFRecord files, without TensorFlow.

    Example   { Features features = 1; }
    Features  { map<string, Feature> feature = 1; }      an entry: key = 1, value = 2
    Feature   { BytesList 1 | FloatList 2 | Int64List 3 }   each: repeated value = 1

Reading gives where the bytes of a value are, so that an image can be read from the middle of a
file. TFRecord: length (8 bytes), its sum (4), the record, its sum (4), all little-endian.
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

import google_crc32c

HEADER_BYTES, FOOTER_BYTES = 12, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Piece(NamedTuple):
    """Where some bytes of a record are."""

    start: int
    stop: int

    def of(self, record: bytes) -> bytes:
        return record[self.start : self.stop]


Feature = Piece | int


def encode(features: Mapping[str, bytes | int]) -> bytes:
    """Returns an Example of one value, bytes or an integer, for each name."""
    entries = bytearray()
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(1, _field(1, value))
        else:
            feature = _field(3, _field(1, _varint(value)))
        entries += _field(1, _field(1, name.encode()) + _field(2, feature))
    return _field(1, bytes(entries))


def decode(record: bytes) -> dict[str, Feature]:
    """Returns the first value of each feature: where its bytes are, or the integer that it is.

    Features without a value, and of floats, are left out.

    Raises:
        ValueError: If the record is no Example.
    """
    found: dict[str, Feature] = {}
    whole = Piece(0, len(record))
    for _, features in _fields(record, whole, 1):
        for _, entry in _fields(record, features, 1):
            name, value = "", None
            for number, piece in _fields(record, entry, 1, 2):
                if number == 1:
                    name = piece.of(record).decode()
                else:
                    value = _first(record, piece)
            if value is not None:
                found[name] = value
    return found


def frame(record: bytes) -> bytes:
    """Returns a record as it stands in a TFRecord file."""
    length = len(record).to_bytes(8, "little")
    return b"".join([length, _sum(length), record, _sum(record)])


def unframe(framed: bytes) -> bytes:
    """Returns the record of a frame.

    Raises:
        ValueError: If it is cut short or its sums are wrong.
    """
    record = framed[HEADER_BYTES:-FOOTER_BYTES]
    if frame_length(framed[:HEADER_BYTES]) != len(framed) or _sum(record) != framed[-FOOTER_BYTES:]:
        raise ValueError("it is cut short or has a wrong sum")
    return record


def frame_length(header: bytes) -> int:
    """Returns how long a frame is, from its first 12 bytes.

    Raises:
        ValueError: If they are cut short or their sum is wrong.
    """
    if len(header) < HEADER_BYTES or header[8:] != _sum(header[:8]):
        raise ValueError("it is cut short or has a wrong sum")
    return HEADER_BYTES + int.from_bytes(header[:8], "little") + FOOTER_BYTES


def records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yields where each frame of a TFRecord file starts, and its record.

    Raises:
        ValueError: If one is cut short or has a wrong sum; the text tells its number.
    """
    start = number = 0
    while header := file.read(HEADER_BYTES):
        number += 1
        try:
            length = frame_length(header)
            record = unframe(header + file.read(length - HEADER_BYTES))
        except ValueError as error:
            raise ValueError(f"record {number}: {error}") from None
        yield start, record
        start += length


def _first(record: bytes, feature: Piece) -> Feature | None:
    """Returns the first value of a Feature: of its list of bytes, or of its list of integers."""
    for number, _, _, values in _scan(record, feature):
        if number == 1:
            return next((piece for _, piece in _fields(record, values, 1)), None)
        if number == 3:
            for _, wire, value, piece in _scan(record, values):
                if wire == _VARINT:
                    return _signed(value)
                if wire == _BYTES and piece.stop > piece.start:  # Packed.
                    return _signed(_read_varint(record, *piece)[0])
    return None


def _fields(record: bytes, within: Piece, *numbers: int) -> Iterator[tuple[int, Piece]]:
    """Yields the fields of some numbers that are bytes or messages."""
    for number, wire, _, piece in _scan(record, within):
        if number in numbers and wire == _BYTES:
            yield number, piece


def _scan(record: bytes, within: Piece) -> Iterator[tuple[int, int, int, Piece]]:
    """Yields each field: its number and wire type, its value if that is a varint, its bytes."""
    at = within.start
    while at < within.stop:
        tag, at = _read_varint(record, at, within.stop)
        value, piece, at = _value(record, tag & 7, at, within.stop)
        yield tag >> 3, tag & 7, value, piece


def _value(record: bytes, wire: int, at: int, stop: int) -> tuple[int, Piece, int]:
    if wire == _VARINT:
        value, end = _read_varint(record, at, stop)
        return value, Piece(at, end), end
    if wire == _BYTES:
        length, at = _read_varint(record, at, stop)
    elif wire in (_FIXED64, _FIXED32):
        length = 8 if wire == _FIXED64 else 4
    else:
        raise ValueError("it is no tf.train.Example")
    if at + length > stop:
        raise ValueError("it is no tf.train.Example")
    return 0, Piece(at, at + length), at + length


def _read_varint(record: bytes, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 70:
        byte = record[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("it is no tf.train.Example")


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _sum(content: bytes) -> bytes:
    """The CRC-32C, rotated, so that sums of sums are safe."""
    crc: int = google_crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")
