from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.bundle import Bundle
from engine.errors import BundleError
from engine.file_entry import FileEntry
from tests.engine_rows import add_engine, tiny_bundle, trt_engine
from tests.tiny_models import save_yolox


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_engine_is_added_with_its_files_and_read_as_the_bytes_that_were_added(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "model")
    (bundle.root / "README").write_text("mine", encoding="utf-8")
    add_engine(bundle, tmp_path, data=b"machine code")
    found = Bundle.load(bundle.root)
    (engine,) = found.manifest.engines
    assert found.read_engine(engine) == b"machine code"
    assert files(bundle.root) == {"manifest.json", "tiny.onnx", "README", "engines/a.engine", "engines/a.log"}
    found.check_files()


def test_engines_do_not_change_what_the_model_is(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "model")
    before = (bundle.root / "manifest.json").read_bytes()
    assert b"engines" not in before
    with_engine = add_engine(bundle, tmp_path)
    assert Bundle.load(bundle.root).digest == bundle.digest
    with_engine.remove_engines({"engines/a.engine"})
    assert (bundle.root / "manifest.json").read_bytes() == before
    assert files(bundle.root) == {"manifest.json", "tiny.onnx"}


def test_an_engine_of_the_same_name_is_replaced_and_comes_last(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "model")
    for name, data in (("a", b"first"), ("b", b"other"), ("a", b"second")):
        bundle = add_engine(bundle, tmp_path, name, data)
    engines = Bundle.load(bundle.root).manifest.engines
    assert [engine.file.path for engine in engines] == ["engines/b.engine", "engines/a.engine"]
    assert bundle.read_engine(engines[-1]) == b"second"


def test_an_altered_engine_is_never_given_out_and_does_not_stop_the_model(tmp_path: Path) -> None:
    bundle = add_engine(tiny_bundle(tmp_path / "model"), tmp_path)
    (bundle.root / "engines/a.engine").write_bytes(b"evil")
    found = Bundle.load(bundle.root)
    with pytest.raises(
        BundleError, match=r"engines/a\.engine: damaged or replaced: SHA-256 is .*; build it again with"
    ):
        found.read_engine(found.manifest.engines[0])
    with pytest.raises(BundleError, match="damaged or replaced"):
        found.check_files()


def test_a_missing_engine_is_named(tmp_path: Path) -> None:
    bundle = add_engine(tiny_bundle(tmp_path / "model"), tmp_path)
    (bundle.root / "engines/a.engine").unlink()
    with pytest.raises(
        BundleError, match=r"a\.engine: the TensorRT engine cannot be read: No such file or directory; "
    ):
        bundle.read_engine(bundle.manifest.engines[0])
    with pytest.raises(BundleError, match=r"a\.engine: the bundle's TensorRT engine's file is missing; build it again"):
        bundle.check_files()


def test_a_copy_of_a_bundle_has_its_engines(tmp_path: Path) -> None:
    bundle = add_engine(tiny_bundle(tmp_path / "model"), tmp_path)
    copy = bundle.write(tmp_path / "copy")
    assert copy.read_engine(copy.manifest.engines[0]) == b"engine"


def test_a_bare_model_has_no_place_for_an_engine(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "model")
    bundle = Bundle(save_yolox(tmp_path / "tiny.onnx").parent, folder.manifest)
    with pytest.raises(BundleError, match="a bare model has no place for its engine; make a bundle of it first"):
        bundle.add_engine(trt_engine(), {})


def test_a_manifest_whose_engine_has_unknown_keys_is_refused(tmp_path: Path) -> None:
    bundle = add_engine(tiny_bundle(tmp_path / "model"), tmp_path)
    path = bundle.root / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["engines"][0]["precison"] = "fp16"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(
        BundleError, match=r"engines\.0\.precison: unknown key 'precison' \(did you mean 'precision'\?\)"
    ):
        Bundle.load(bundle.root)


def test_an_engine_that_is_a_link_to_a_device_is_not_read(tmp_path: Path) -> None:
    bundle = add_engine(tiny_bundle(tmp_path / "model"), tmp_path)
    path = bundle.root / "engines/a.engine"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(
        BundleError, match=r"a\.engine: the TensorRT engine cannot be read: it is no regular file; build"
    ):
        bundle.read_engine(bundle.manifest.engines[0])


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a.engine", "engines/../../a.engine", "a\0.engine"])
def test_an_engine_stays_inside_its_bundle(path: str) -> None:
    with pytest.raises(ValueError, match="must be a path inside the bundle"):
        FileEntry(path=path, sha256="a" * 64, size=1)
