"""Whether a package brings plugins is seen from its files, as importlib.metadata would see it."""

import sys
import zipfile
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder, MetadataPathFinder

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uad_bench.plugins.installed import may_be_installed
from uad_bench.plugins.registry import GROUPS

OURS = st.sampled_from(sorted(GROUPS.values()))
GROUP = st.one_of(OURS, st.just("console_scripts"))
POINTS = st.dictionaries(GROUP, st.just("a = b:c"), max_size=2)
KINDS = st.sampled_from(["dist-info", "egg-info", "DIST-INFO", "egg", "zip", "egg-info file"])
USUAL = [PathFinder]
"""The way in which packages come, without those that another test's imports add."""

PACKAGES = st.lists(st.tuples(KINDS, st.one_of(st.none(), POINTS)), max_size=3)


def lay_out(folder, number, kind, points):
    """Write a package with these entry points, and return the place of ``sys.path`` it is in."""
    text = "\n".join(f"[{group}]\n{line}" for group, line in (points or {}).items())
    metadata = f"Metadata-Version: 2.1\nName: package{number}\nVersion: 1.0\n"
    if kind == "egg-info file":
        (folder / f"package{number}-1.0.egg-info").write_text(metadata)
        return folder
    if kind == "zip":
        archive = folder / f"package{number}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(f"package{number}-1.0.dist-info/METADATA", metadata)
            if points is not None:
                file.writestr(f"package{number}-1.0.dist-info/entry_points.txt", text)
        return archive
    place = folder / f"package{number}-1.0.egg" if kind == "egg" else folder
    info = place / ("EGG-INFO" if kind == "egg" else f"package{number}-1.0.{kind}")
    info.mkdir(parents=True)
    (info / ("PKG-INFO" if "egg" in kind else "METADATA")).write_text(metadata)
    if points is not None:
        (info / "entry_points.txt").write_text(text)
    return place


def brings_plugins(path):
    """Whether a package of these places has our entry points, as the standard library reads them.

    Asked of the standard library's own finder: the package ``importlib_metadata``, which another
    test may have imported, takes its place in ``entry_points``.
    """
    context = DistributionFinder.Context(path=path)
    return any(
        entry.group in GROUPS.values()
        for package in MetadataPathFinder.find_distributions(context)
        for entry in package.entry_points
    )


@given(packages=PACKAGES)
def test_no_package_is_overlooked(tmp_path_factory, packages):
    folder = tmp_path_factory.mktemp("site")
    places = [lay_out(folder, number, *package) for number, package in enumerate(packages)]
    path = [str(folder), str(folder / "missing"), *map(str, places)]
    known = brings_plugins(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "meta_path", USUAL)
        patched.setattr(sys, "path", path)
        seen = may_be_installed(GROUPS.values())
    assert seen or not known
    if not any(kind in {"egg", "zip"} for kind, _ in packages):
        assert seen == known


def test_packages_that_come_in_a_way_of_their_own_may_bring_some(monkeypatch):
    class Finder:
        @staticmethod
        def find_distributions(context):
            return iter(())

    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", USUAL)
    assert not may_be_installed(GROUPS.values())
    monkeypatch.setattr(sys, "meta_path", [*USUAL, Finder])
    assert may_be_installed(GROUPS.values())
