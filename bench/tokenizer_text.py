#!/usr/bin/env python3
"""Writes a text of a given size for measuring tokenizers, out of what a Debian machine has installed.

    tokenizer_text.py OUT [--megabytes 100] [--part prose|languages|code]

Prose: manual pages and documentation in English. Languages: manual pages and message catalogues in others.
Code: Python, C, C++ and Perl sources. Without --part 40 % of the first, 20 % of the second, 40 % of the third.
Files that are equal, not UTF-8 or have a zero byte are left out; the order is that of a hash of the paths, so
that every part is a mixture. What comes out depends on the packages installed: compare programs on one file.
"""
import argparse
import gettext
import gzip
import hashlib
import os
import sys

ENGLISH_PAGES = {f"man{n}" for n in range(1, 10)}
CODE = (".py", ".h", ".hpp", ".c", ".cc", ".cpp", ".pl", ".pm", ".sh", ".js", ".java", ".cmake")
PROSE = (".txt", ".md", ".rst", ".html", ".tex", "copyright", "changelog", "README", "NEWS")


def walk(*roots):
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                yield os.path.join(folder, name)


def sources(part):
    if part == "code":
        return [p for p in walk("/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/perl",
                                "/usr/share/perl5", "/usr/share/cmake-3.25") if p.endswith(CODE)]
    if part == "languages":
        pages = [p for p in walk("/usr/share/man") if p.split("/")[4] not in ENGLISH_PAGES]
        return pages + [p for p in walk("/usr/share/locale", "/usr/share/locale-langpack") if p.endswith(".mo")]
    pages = [p for p in walk("/usr/share/man") if p.split("/")[4] in ENGLISH_PAGES]
    return pages + [p for p in walk("/usr/share/doc") if p.removesuffix(".gz").endswith(PROSE)]


def text_of(path):
    if path.endswith(".mo"):
        with open(path, "rb") as f:
            catalogue = gettext.GNUTranslations(f)._catalog  # the only way to all messages
        return "\n\n".join(v for k, v in catalogue.items() if k and v != k)
    with open(path, "rb") as f:
        data = f.read()
    return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8")


def write_part(out, part, size, seen):
    written = 0
    for path in sorted(sources(part), key=lambda p: hashlib.sha256(p.encode()).digest()):
        if written >= size:
            return
        try:
            text = text_of(path)
        except (OSError, UnicodeError, EOFError, LookupError, ValueError):
            continue
        data = text.encode()
        digest = hashlib.sha256(data).digest()
        if not data or b"\0" in data or digest in seen:
            continue
        seen.add(digest)
        data = data[: size - written].decode("utf-8", "ignore").encode()  # the last file is cut
        out.write(data)
        written += len(data)
        if size - written < 4:
            return
    print(f"{part}: only {written / 1e6:.1f} of {size / 1e6:.1f} MB found", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--part", choices=["prose", "languages", "code"])
    a = parser.parse_args()
    shares = {a.part: 1.0} if a.part else {"prose": 0.4, "languages": 0.2, "code": 0.4}
    seen = set()
    with open(a.out, "wb") as out:
        for part, share in shares.items():
            write_part(out, part, int(a.megabytes * 1e6 * share), seen)


main()
