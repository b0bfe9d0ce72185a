"""MySQL's binary protocol over a connection of PyMySQL, which itself speaks only the one of text.

Numbers travel as they lie in memory: nobody prints and parses them, so they are exact by construction, and a million rows
become arrays in the time that PyMySQL needs for some ten thousand. Two uses of it are here:

    number = prepare(driver, "INSERT INTO t VALUES (?, ?)")       # once a connection
    send(driver, number, nulls, types, values)                    # and others; then the client may do something else
    changed = answers(driver, 1)
    pieces = fetch(driver, "SELECT a, b FROM t", ("a", "b"))     # only numbers, none of them NULL

PyMySQL has no public door to the protocol, so these few of its private ones are used, here and nowhere else:
`_execute_command`, `_read_packet`, `_next_seq_id`, `_read_bytes`, `_rfile`, `_force_close`. Errors are PyMySQL's.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymysql import err
from pymysql.constants import COMMAND, CR, FIELD_TYPE
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket, OKPacketWrapper

READ_BYTES = 1 << 18
PIECE_ROWS = 2048

Columns = dict[str, NDArray[Any]]

_NUMBERS = {
    FIELD_TYPE.TINY: "<i1",
    FIELD_TYPE.SHORT: "<i2",
    FIELD_TYPE.LONG: "<i4",
    FIELD_TYPE.INT24: "<i4",
    FIELD_TYPE.LONGLONG: "<i8",
    FIELD_TYPE.FLOAT: "<f4",
    FIELD_TYPE.DOUBLE: "<f8",
}
_ERROR = 0xFF


def prepare(driver: Any, sql: str) -> int:
    """Lets the server parse a statement, with ? for values; returns the number that it has on this connection."""
    driver._execute_command(COMMAND.COM_STMT_PREPARE, sql)
    _, number, columns, parameters = struct.unpack_from("<BIHH", driver._read_packet().get_all_data())
    for count in (parameters, columns):
        for _ in range(count + 1 if count else 0):  # their descriptions, and an end
            driver._read_packet()
    return int(number)


def send(driver: Any, number: int, nulls: bytes, types: bytes, values: bytes) -> None:
    """Lets the server run a prepared statement that returns no rows. Several may be sent before their `answers` are heard.

    `nulls` has a bit for each parameter, the lowest first; `types` two bytes; `values` those that are not NULL.
    """
    driver._execute_command(
        COMMAND.COM_STMT_EXECUTE, struct.pack("<IBI", number, 0, 1) + nulls + b"\x01" + types + values
    )


def answers(driver: Any, count: int) -> int:
    """How many rows were changed by so many statements that were sent. All are heard, then the first error is raised."""
    changed, error = 0, None
    for _ in range(count):
        driver._next_seq_id = 1
        try:
            changed += int(OKPacketWrapper(driver._read_packet()).affected_rows)
        except err.MySQLError as found:
            error = error or found
            if not driver.open:
                break
    if error is not None:
        raise error
    return changed


def fetch(driver: Any, sql: str, names: Sequence[str]) -> list[Columns]:
    """All rows of a query as columns, in pieces, named in its order. It must select numbers only, and never NULL."""
    try:
        number = prepare(driver, sql)
        driver._execute_command(COMMAND.COM_STMT_EXECUTE, struct.pack("<IBI", number, 0, 1))
        count = driver._read_packet().read_length_encoded_integer()
        kinds = [_NUMBERS[driver._read_packet(FieldDescriptorPacket).type_code] for _ in range(count)]
        driver._read_packet()
        begin = [(" header", "<u4"), (" begin", "u1"), (" nulls", "u1", ((count + 9) // 8,))]  # no column is called so
        found = list(_pieces(driver, np.dtype(begin + list(zip(names, kinds, strict=True))), names))
    except OSError as error:
        driver._force_close()
        raise err.OperationalError(
            CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({error})"
        ) from error
    except err.MySQLError:
        raise
    except BaseException:
        driver._force_close()  # what is still on its way would be taken for the next answer
        raise
    driver._execute_command(COMMAND.COM_STMT_CLOSE, struct.pack("<I", number))  # has no answer
    return found


def _pieces(driver: Any, layout: np.dtype[Any], names: Sequence[str]) -> Iterator[Columns]:
    """Rows as columns, so many at once as a processor's cache holds."""
    waiting: list[NDArray[Any]] = []
    count = 0
    for rows in chain(_rows(driver, layout), [None]):
        if rows is not None:
            waiting.append(rows)
            count += len(rows)
        if count >= PIECE_ROWS or rows is None:
            piece = np.concatenate([np.empty(0, layout), *waiting])
            yield {name: piece[name].copy() for name in names}
            waiting, count = [], 0


def _rows(driver: Any, layout: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """The rows of an answer. All are equally long, so the end is the first packet that is not one of them."""
    size, rest = layout.itemsize, b""
    while True:
        if not (
            more := driver._rfile.read1(READ_BYTES)
        ):  # what is there, and no more: the end may be the last byte to come
            raise ConnectionResetError("it was closed")
        data = rest + more
        rows = np.frombuffer(data, layout, len(data) // size)
        strange = np.flatnonzero(((rows[" header"] & 0xFFFFFF) != size - 4) | (rows[" begin"] != 0))
        count = int(strange[0]) if len(strange) else len(rows)
        yield rows[:count]
        rest = data[count * size :]
        length = int.from_bytes(rest[:3], "little")
        if len(rest) >= 5 and (length != size - 4 or rest[4] != 0):
            packet = rest[4:] + driver._read_bytes(4 + length - len(rest))
            if packet[0] == _ERROR:
                MysqlPacket(packet, driver.encoding).raise_for_error()
            return
