"""A program of its own: the numbers of an HDF5 file, read where a crash hurts nobody.

    python -I h5_child.py FILE          -> stdout: length of a JSON header, the header, raw numbers

Runs under limits of memory and time, because the HDF5 library trusts what a file claims. Only
data sets behind hard links are read, no other file is opened, and nothing of the file is executed.
Imports nothing of pocketvision, so that it starts at once.
"""

import json
import sys
from pathlib import Path

MAX_OBJECTS = 20_000
MAX_TEXT_BYTES = 16 << 20
CPU_SECONDS = 20
BASE_BYTES = 3 << 30  # address space of Python, numpy and the library, nearly all of it untouched


class Refused(Exception):
    """What is wrong with the file, in one line."""


def limit(size_bytes):
    """Bound this process for a file of that size; where the system knows no limits, nothing."""
    try:
        import resource
    except ImportError:
        return
    memory = BASE_BYTES + 8 * size_bytes
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, CPU_SECONDS)):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def objects(group, h5py):
    """(path, data set) of everything behind hard links, each object once."""
    seen, stack = set(), [("", group)]
    while stack:
        prefix, here = stack.pop()
        for name in here:
            link = here.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Refused(f"{prefix}{name} is a link to elsewhere, which is not followed")
            item = here[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MAX_OBJECTS:
                raise Refused(f"it holds more than {MAX_OBJECTS} objects: damaged or hostile")
            if isinstance(item, h5py.Group):
                stack.append((f"{prefix}{name}/", item))
            elif isinstance(item, h5py.Dataset):
                yield f"{prefix}{name}", item


def numbers(data_set, path, left):
    """A data set's values as little-endian floats. Refuses what could be large or elsewhere."""
    if data_set.external or data_set.is_virtual:
        raise Refused(f"{path} keeps its numbers in another file, which is not read")
    if data_set.dtype.kind not in "fiu" or data_set.dtype.itemsize > 8:
        return None
    if len(data_set.shape) > 8 or data_set.size * data_set.dtype.itemsize > left:
        raise Refused(f"{path} claims {data_set.size} numbers, more than the file can hold")
    values = data_set[()]
    kind = f"<f{values.dtype.itemsize}" if values.dtype.kind == "f" else f"<{values.dtype.str[1:]}"
    return values.astype(kind)


def text(attributes, name):
    """A string attribute, or nothing."""
    if name not in attributes:
        return ""
    if attributes.get_id(name).get_storage_size() > MAX_TEXT_BYTES:
        raise Refused(f"attribute {name} is longer than {MAX_TEXT_BYTES} bytes")
    value = attributes[name]
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return value if isinstance(value, str) and len(value) <= MAX_TEXT_BYTES else ""


def read(path):
    """(header, arrays): names, types and shapes; the arrays in the same order."""
    import h5py

    # Compressed weights shrink by a tenth; a file that claims four times its size is lying.
    left = 4 * Path(path).stat().st_size
    with h5py.File(path, "r") as file:
        rows, arrays = [], []
        for name, data_set in objects(file, h5py):
            values = numbers(data_set, name, left)
            if values is not None:
                left -= values.nbytes
                rows.append({"name": name, "dtype": values.dtype.str, "shape": values.shape})
                arrays.append(values)
        return {"tensors": rows, "model_config": text(file.attrs, "model_config")}, arrays


def main(path, out):
    """Write what `path` holds to the binary stream `out`; gives the exit code."""
    try:
        limit(Path(path).stat().st_size)
        header, arrays = read(path)
    except Refused as e:
        return fail(str(e))
    except MemoryError:
        return fail("it claims more than fits into memory: damaged or hostile")
    except Exception as e:
        return fail(f"the HDF5 library cannot read it: {' '.join(str(e).split())[:160]}")
    encoded = json.dumps(header).encode()
    out.write(len(encoded).to_bytes(8, "little") + encoded)
    for values in arrays:
        out.write(values.tobytes())
    out.flush()
    return 0


def fail(message):
    """Say what is wrong and give the exit code for it."""
    sys.stderr.write(message + "\n")
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdout.buffer))
