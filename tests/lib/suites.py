"""Which tests there are, by the names that the documentation calls them: suite.Class.test_name of the whole programs' tests, suite:function of those in C. For tests/lint, from the tree's top."""
import ast
import glob
import os
import re


def parsed():
    for path in sorted(glob.glob("tests/f*/test_*.py")):
        yield path, os.path.basename(path)[:-3], [c for c in ast.parse(open(path, encoding="utf-8").read()).body if isinstance(c, ast.ClassDef)]


def own_tests(c):
    return [f.name for f in c.body if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")]


def classes():
    """(path, suite, class, its own tests) of each class."""
    for path, suite, found in parsed():
        for c in found:
            yield path, suite, c.name, own_tests(c)


def tests():
    """All names. Tests of a class are those of its ancestors in the file too."""
    names = set()
    for _, suite, found in parsed():
        bases = {c.name: [b.id for b in c.bases if isinstance(b, ast.Name)] for c in found}
        own = {c.name: own_tests(c) for c in found}
        for c in own:
            todo, seen = [c], set()
            while todo:
                name = todo.pop()
                seen.add(name)
                names |= {f"{suite}.{c}.{t}" for t in own.get(name, [])}
                todo += [b for b in bases.get(name, []) if b not in seen]
    for path in sorted(glob.glob("tests/unit/test_*.c") + glob.glob("tests/seq/test_*.c")):
        names |= {f"{os.path.basename(path)[:-2]}:{f}" for f in re.findall(r"cmocka_unit_test\w*\((\w+)", open(path, encoding="utf-8").read())}
    return names
