"""The idx format of the MNIST files: unsigned bytes behind a header that gives their shape."""

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from sgmkit.errors import IncompleteFile, UserError

_UNSIGNED_BYTES = 8
_AGAIN = "delete it, and it is downloaded again"


def read_idx(path: Path, dims: int) -> Tensor:
    """The array in a gzipped idx file, uint8.

    The header is two zero bytes, the type (8: unsigned bytes), the number of dimensions, and each
    of them as four bytes, the most significant first.

    Args:
        path: of the file.
        dims: how many dimensions it must have.

    Raises:
        IncompleteFile: for a file that ends early.
        UserError: for a file that is not gzipped, not idx, of another type or shape, or corrupt.
    """
    data = _unzipped(path)
    start = 4 + 4 * dims
    if len(data) >= 4 and bytes(data[:4]) != bytes((0, 0, _UNSIGNED_BYTES, dims)):
        raise UserError(
            f"'{path}' is not an idx file of unsigned bytes in {dims} dimensions: it begins with "
            f"{data[:4].hex(' ')}; {_AGAIN}"
        )
    words = (data[place : place + 4] for place in range(4, start, 4))
    shape = [int.from_bytes(word, "big") for word in words]
    wanted = start + math.prod(shape)
    if len(data) < wanted:
        raise IncompleteFile(f"'{path}' is cut short: {len(data)} of {wanted} bytes; {_AGAIN}")
    if len(data) > wanted:
        raise UserError(f"'{path}' has {len(data)} bytes, where its header says {wanted}; {_AGAIN}")
    return torch.frombuffer(data, dtype=torch.uint8)[start:].reshape(shape)


def _unzipped(path: Path) -> bytearray:
    try:
        with gzip.open(path) as file:
            return bytearray(file.read())
    except EOFError:
        raise IncompleteFile(
            f"'{path}' is cut short: its gzip stream does not end; {_AGAIN}"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path}' is not a whole gzip file ({error}); {_AGAIN}") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}; check its permissions") from None
