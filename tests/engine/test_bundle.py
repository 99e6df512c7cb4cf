from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bundle import Bundle, Manifest, read_manifest, write_bundle
from engine.errors import BundleError, UsageError
from engine.file_entry import FileEntry
from engine.input_spec import InputSpec
from engine.labels import COCO, class_ids
from engine.onnx_import import ImportOptions, describe_onnx
from tests.engine.test_card import card
from tests.engine.test_reference import assert_same, reference
from tests.tiny_models import COLORS, save_colors, save_constant, save_yolox


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    model = save_yolox(tmp_path / "tiny.onnx")
    options = ImportOptions(family="yolox", labels=("blue", "red"), source="made here", licence="CC0")
    return describe_onnx(model, options).write(tmp_path / "tiny")


def edit(bundle: Bundle, **changes: Any) -> Path:
    """Change keys of the manifest; None removes one. `input__x` is a key of `input`."""
    path = bundle.root / "manifest.json"
    data = json.loads(path.read_text())
    for key, value in changes.items():
        part, _, inner = key.rpartition("__")
        target = data[part] if part else data
        target.pop(inner) if value is None else target.__setitem__(inner, value)
    path.write_text(json.dumps(data))
    return bundle.root


def test_what_was_written_is_what_is_loaded(bundle: Bundle) -> None:
    loaded = Bundle.load(bundle.root)
    assert loaded == bundle
    assert loaded.manifest.labels == ("blue", "red")
    assert loaded.manifest.input == InputSpec(size_wh=(64, 64), color="bgr", resize="letterbox", pad=114)
    assert loaded.file("onnx") == bundle.root / "tiny.onnx"
    assert loaded.manifest.files["onnx"] == FileEntry.of(bundle.root / "tiny.onnx")


def test_the_manifest_states_its_schema(bundle: Bundle) -> None:
    assert json.loads((bundle.root / "manifest.json").read_text())["schema"] == "vedette.bundle/1"


def test_the_digest_follows_what_matters_and_not_the_name(bundle: Bundle) -> None:
    def digest(**changes: Any) -> str:
        return Bundle(bundle.root, bundle.manifest.model_copy(update=changes)).digest

    assert digest(name="other", source="elsewhere") == bundle.digest
    assert digest(labels=("red", "blue")) != bundle.digest


def test_digests_stay_what_they_were_in_the_first_version() -> None:
    entries = {"onnx": FileEntry(path="tiny.onnx", sha256="0" * 64, size=7),
               "onnx_data": FileEntry(path="tiny.onnx.data", sha256="1" * 64, size=8)}  # fmt: skip
    spec = InputSpec(size_wh=(64, 32))
    manifest = Manifest(name="x", family="yolox", labels=("a", "b"), input=spec, files=entries)
    assert Bundle(Path(), manifest).digest == "2f43c0e10ee2d82f"


@pytest.fixture
def about(tmp_path: Path) -> dict[str, Path]:
    """A file of every role that says something about a model."""
    folder = tmp_path / "about"
    folder.mkdir()
    reference().save(folder / "statistics.npz")
    (folder / "figures.json").write_text('{"ap": 0.5}')
    (folder / "card.json").write_text(card().to_json())
    names = {"reference": "statistics.npz", "evaluation": "figures.json", "card": "card.json"}
    return {role: folder / name for role, name in names.items()}


def test_files_about_the_model_are_added_and_read_and_change_no_digest(bundle: Bundle, about: dict[str, Path]) -> None:
    assert (bundle.reference(), bundle.evaluation(), bundle.card()) == (None, None, None)
    bundle.add({"reference": about["reference"]})
    found = Bundle.load(bundle.root).add({"evaluation": about["evaluation"], "card": about["card"]})
    assert found == Bundle.load(bundle.root)
    assert found.digest == bundle.digest
    assert sorted(p.name for p in found.root.iterdir()) == [
        "card.json", "evaluation.json", "manifest.json", "reference.npz", "tiny.onnx",
    ]  # fmt: skip
    measured = found.reference()
    assert measured is not None
    assert_same(measured, reference())
    assert (found.evaluation(), found.card()) == ({"ap": 0.5}, card())


def test_adding_replaces_what_was_there_and_leaves_the_rest(bundle: Bundle, about: dict[str, Path]) -> None:
    (bundle.root / "README.md").write_text("mine")
    first = bundle.add(about)
    about["evaluation"].write_text('{"ap": 0.75}')
    again = first.add({"evaluation": about["evaluation"]})
    assert Bundle.load(bundle.root).evaluation() == {"ap": 0.75}
    assert (bundle.root / "README.md").read_text() == "mine"
    assert again.manifest.files["card"] == first.manifest.files["card"]
    assert [p.name for p in bundle.root.parent.glob(".*")] == []


def test_adding_to_the_folder_we_stand_in_works(
    bundle: Bundle, about: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.root)
    Bundle.load(".").add({"card": about["card"]})
    assert Bundle.load(bundle.root).card() == card()


def test_a_bare_model_has_no_place_for_more(tmp_path: Path, about: dict[str, Path]) -> None:
    path = save_constant(tmp_path / "bare.onnx", [np.zeros((1, 84, 84 + 42), np.float32)], size_wh=(96, 64))
    with pytest.raises(
        BundleError, match=r"bare.onnx: a bare model has no place for its card; .*models import .*--out"
    ):
        Bundle.load(path).add({"card": about["card"]})


def test_a_damaged_file_about_the_model_stops_whoever_reads_it_and_nobody_else(
    bundle: Bundle, about: dict[str, Path]
) -> None:
    path = bundle.add(about).file("reference")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    loaded = Bundle.load(bundle.root)
    assert loaded.card() == card()
    with pytest.raises(BundleError, match=r"reference.npz: damaged or replaced: .*`vedette reference BUNDLE --data"):
        loaded.reference()
    with pytest.raises(BundleError, match="damaged or replaced"):
        loaded.check_files()
    loaded.add({"reference": about["reference"]})
    assert loaded.reference() is not None


@pytest.mark.parametrize(("text", "message"), [("[]", "expected a JSON object, got list"), ("{", "not valid JSON")])
def test_an_evaluation_is_a_json_object(bundle: Bundle, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "figures.json").write_text(text)
    with pytest.raises(BundleError, match=rf"evaluation.json: {message}"):
        bundle.add({"evaluation": tmp_path / "figures.json"}).evaluation()


def test_a_bundle_is_made_of_parts(bundle: Bundle, about: dict[str, Path], tmp_path: Path) -> None:
    made = write_bundle(tmp_path / "made", bundle.manifest, {"onnx": bundle.file("onnx"), **about})
    assert made == Bundle.load(tmp_path / "made")
    assert made.digest == bundle.digest
    assert {role: entry.path for role, entry in made.manifest.files.items()} == {
        "onnx": "tiny.onnx", "reference": "reference.npz", "evaluation": "evaluation.json", "card": "card.json",
    }  # fmt: skip


def test_making_a_bundle_refuses_what_cannot_be_meant(bundle: Bundle, tmp_path: Path) -> None:
    onnx, target = bundle.file("onnx"), tmp_path / "made"
    with pytest.raises(BundleError, match=r"none.npz: no such file; it should become the bundle's 'reference'"):
        write_bundle(target, bundle.manifest, {"onnx": onnx, "reference": tmp_path / "none.npz"})
    with pytest.raises(BundleError, match=r"two files of the bundle would be called 'tiny.onnx'; rename one"):
        write_bundle(target, bundle.manifest, {"onnx": onnx, "more": onnx})
    assert not target.exists()
    other = bundle.manifest.model_copy(update={"name": "other"})
    with pytest.raises(BundleError, match="there is something else already"):
        write_bundle(bundle.root, other, {"onnx": onnx})
    assert write_bundle(bundle.root, other, {"onnx": onnx}, force=True) == Bundle.load(bundle.root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"familly": "yolox"}, r"familly: unknown key 'familly' \(did you mean 'family'\?\)"),
        ({"input__colour": "bgr"}, r"input.colour: unknown key 'colour' \(did you mean 'color'\?\)"),
        ({"family": "yoloxx"}, r"family: unknown family 'yoloxx' \(did you mean 'yolox'\?\)"),
        ({"family": None}, "family: Field required"),
        ({"labels": []}, "labels: Tuple should have at least 1 item"),
        ({"input__std": [1, 0, 1]}, r"input.std: std must be above 0, got \(1.0, 0.0, 1.0\)"),
        ({"input__color": "gbr"}, "input.color: Input should be 'bgr' or 'rgb'"),
        ({"scores": "logits"}, "scores: a classifier's says logits or probabilities.* the family is 'yolox'"),
        ({"family": "classifier"}, "scores: a classifier's says logits or probabilities.* the family is 'classifier'"),
        ({"schema": "vedette.bundle/9"}, "schema is 'vedette.bundle/9', this version of Vedette reads"),
        ({"files": {"onnx": {"path": "../x", "sha256": "0" * 64, "size": 1}}}, "path inside the bundle, got '../x'"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(bundle: Bundle, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=rf"manifest.json: .*{message}"):
        Bundle.load(edit(bundle, **changes))


def test_a_bundle_without_a_model_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=rf"^{bundle.root}: the bundle has no 'onnx' file; import the model again$"):
        Bundle.load(edit(bundle, files={}))


def test_a_manifest_that_is_no_json_is_refused(bundle: Bundle) -> None:
    (bundle.root / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match=r"manifest.json: not valid JSON"):
        Bundle.load(bundle.root)


def test_a_damaged_file_is_refused_with_both_hashes(bundle: Bundle) -> None:
    path = bundle.file("onnx")
    expected = bundle.manifest.files["onnx"].sha256
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    found = FileEntry.of(path).sha256
    with pytest.raises(BundleError, match=rf"tiny.onnx: damaged.*{found[:12]}….*{expected[:12]}…; import the model"):
        Bundle.load(bundle.root)


def test_a_missing_file_is_refused(bundle: Bundle) -> None:
    bundle.file("onnx").unlink()
    with pytest.raises(BundleError, match="'onnx' file is missing"):
        Bundle.load(bundle.root)


def test_a_role_that_is_not_there_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no 'tensorrt' file, only onnx"):
        bundle.file("tensorrt")


def test_a_path_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: no such model; give a bundle's folder or an .onnx file"):
        Bundle.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no model bundle: it has no manifest.json"):
        read_manifest(tmp_path / "manifest.json")


def test_writing_replaces_the_same_bundle_an_empty_folder_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    other = Bundle(bundle.root, bundle.manifest.model_copy(update={"labels": ("a", "b")}))
    target = tmp_path / "out" / "target"
    target.mkdir(parents=True)
    bundle.write(target)
    bundle.write(target)
    with pytest.raises(BundleError, match="target: there is something else already; choose another --out, or --force"):
        other.write(target)
    assert Bundle.load(target).manifest == bundle.manifest
    other.write(target, force=True)
    assert Bundle.load(target).manifest.labels == ("a", "b")
    assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_writing_never_removes_a_folder_that_is_no_bundle(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("all of it")
    with pytest.raises(BundleError, match="there is something else already"):
        bundle.write(tmp_path / "precious", force=True)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "all of it"


def test_a_bundle_may_be_moved(bundle: Bundle, tmp_path: Path) -> None:
    moved = bundle.root.rename(tmp_path / "moved")
    assert Bundle.load(moved).digest == bundle.digest


def test_a_bare_model_tells_its_family_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save_constant(tmp_path / "bare.onnx", [np.zeros((1, 84, 126), np.float32)], size_wh=(96, 64))
    with caplog.at_level(logging.INFO):
        bundle = Bundle.load(path)
    assert (bundle.manifest.family, bundle.manifest.labels) == ("yolo", COCO)
    assert "taken for family 'yolo' at 96x64 with 80 classes" in caplog.text


def test_a_bare_model_brings_the_names_that_its_exporter_wrote(tmp_path: Path) -> None:
    outputs = [np.zeros((1, 6, 84), np.float32)]
    path = save_constant(tmp_path / "bare.onnx", outputs, metadata={"names": "{0: 'cat', 1: 'dog'}"})
    assert Bundle.of_onnx(path).manifest.labels == ("cat", "dog")


@pytest.mark.parametrize("names", ["", "{0: 'cat'}", "no python", "{1: 'cat', 2: 'dog'}"])
def test_classes_without_usable_names_ask_for_labels(tmp_path: Path, names: str) -> None:
    path = save_constant(tmp_path / "bare.onnx", [np.zeros((1, 6, 84), np.float32)], metadata={"names": names})
    with pytest.raises(BundleError, match=r"2 classes and no names for them: import it with .*--labels FILE"):
        Bundle.of_onnx(path)


def test_a_bare_model_of_no_family_asks_for_it(tmp_path: Path) -> None:
    path = save_constant(tmp_path / "odd.onnx", [np.zeros((1, 10, 3), np.float32)])
    with pytest.raises(
        BundleError, match=r"family cannot be told.*out0 \(\?, 10, 3\).*models import .*odd.onnx --family"
    ):
        Bundle.load(path)


def test_a_bare_model_that_could_be_of_two_families_asks_for_one(tmp_path: Path) -> None:
    # 84 anchors at 64x64 and 79 or 80 classes.
    path = save_constant(tmp_path / "either.onnx", [np.zeros((1, 84, 84), np.float32)])
    with pytest.raises(BundleError, match="family cannot be told"):
        Bundle.load(path)
    assert Bundle.of_onnx(path, family="yolo").manifest.family == "yolo"


def test_a_model_said_to_be_of_another_family_is_refused(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(BundleError, match=r"not a picodet model: .*\(1, 84, 7\), which looks like family 'yolox'"):
        Bundle.of_onnx(path, family="picodet")


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown family 'yolos' \(did you mean 'yolo'\?\)"):
        Bundle.of_onnx(save_yolox(tmp_path / "tiny.onnx"), family="yolos")


def test_labels_that_do_not_fit_the_classes_are_refused(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(BundleError, match="the model has 2 classes, but there are 80 labels"):
        describe_onnx(path, ImportOptions(labels=COCO))


def test_a_model_that_is_replaced_is_described_anew(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    options = ImportOptions(labels=("blue", "red"))
    assert describe_onnx(path, options).manifest.input.size_wh == (64, 64)
    save_yolox(path, size_wh=(96, 64))
    assert describe_onnx(path, options).manifest.input.size_wh == (96, 64)


def test_a_model_of_free_size_takes_the_family_s_unless_told(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx", fixed_size=False)
    options = ImportOptions(family="yolox", labels=("blue", "red"))
    assert describe_onnx(path, options).manifest.input.size_wh == (416, 416)
    told = ImportOptions(family="yolox", labels=("blue", "red"), input=(("size_wh", (96, 64)),))
    assert describe_onnx(path, told).manifest.input.size_wh == (96, 64)


def test_an_input_option_that_makes_no_sense_is_wrong_usage(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(UsageError, match=r"color: Input should be 'bgr' or 'rgb'"):
        describe_onnx(path, ImportOptions(family="yolox", input=(("color", "pink"),)))


def test_manifests_need_no_file_to_be_made() -> None:
    manifest = Manifest(name="x", family="detr", labels=("a",), input=InputSpec(size_wh=(32, 32)), files={})
    assert json.loads(manifest.to_json())["schema"] == "vedette.bundle/1"


def test_normalising_is_one_product_and_one_sum() -> None:
    spec = InputSpec(size_wh=(32, 32), mean=(10, 20, 30), std=(2, 4, 5))
    scale, offset = spec.scale_and_offset()
    x = np.array([100.0, 100.0, 100.0])
    np.testing.assert_allclose(x * scale + offset, [45, 20, 14], rtol=1e-6)


def test_class_names_are_found_in_either_spelling() -> None:
    assert class_ids(("traffic_light", "Person", "traffic light"), COCO).tolist() == [0, 9]


def test_an_unknown_class_names_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"the model has no class 'persn'; did you mean 'person'\?"):
        class_ids(("persn",), COCO)
    with pytest.raises(ValueError, match=r"the model has no class 'zzz'; it knows person, bicycle, .*…"):
        class_ids(("zzz",), COCO)


def test_a_bare_classifier_is_told_with_what_its_scores_are(tmp_path: Path) -> None:
    path = save_constant(
        tmp_path / "c.onnx", [np.array([[2, -1, 0]], np.float32)], metadata={"names": "{0: 'a', 1: 'b', 2: 'c'}"}
    )
    manifest = Bundle.load(path).manifest
    assert (manifest.family, manifest.labels, manifest.scores) == ("classifier", ("a", "b", "c"), "logits")
    assert manifest.input.resize == "stretch"


def test_80_unnamed_classes_of_a_classifier_are_not_coco_s(tmp_path: Path) -> None:
    path = save_constant(tmp_path / "c.onnx", [np.zeros((1, 80), np.float32)])
    with pytest.raises(BundleError, match=r"80 classes and no names for them: import it with .*--family classifier"):
        Bundle.load(path)


def test_what_a_classifier_s_scores_are_is_told_at_import_and_decides_the_digest(tmp_path: Path) -> None:
    options = ImportOptions(family="classifier", labels=COLORS)
    plain = describe_onnx(save_colors(tmp_path / "a.onnx"), options).write(tmp_path / "a")
    ended = describe_onnx(save_colors(tmp_path / "b.onnx", ending="Softmax"), options).write(tmp_path / "b")
    assert [Bundle.load(b.root).manifest.scores for b in (plain, ended)] == ["logits", "probabilities"]
    changed = plain.manifest.model_copy(update={"scores": "probabilities"})
    assert Bundle(plain.root, changed).digest != plain.digest


def test_a_model_of_many_labels_at_once_is_refused(tmp_path: Path) -> None:
    path = save_colors(tmp_path / "c.onnx", ending="Sigmoid")
    with pytest.raises(
        BundleError, match=r"c.onnx: not a classifier: its scores lie between 0 and 1 and do not add up"
    ):
        describe_onnx(path, ImportOptions(family="classifier", labels=COLORS))


def test_detectors_and_classifiers_are_refused_in_each_other_s_place(tmp_path: Path, bundle: Bundle) -> None:
    colors = describe_onnx(save_colors(tmp_path / "c.onnx"), ImportOptions(family="classifier", labels=COLORS))
    bundle.check_detector()
    colors.check_classifier()
    with pytest.raises(BundleError, match=r"c.onnx: a classifier finds no boxes; use it in a `classify` step"):
        colors.check_detector()
    with pytest.raises(
        BundleError, match=r"tiny: a detector \(family 'yolox'\) classifies no crops; use it in `detect`"
    ):
        bundle.check_classifier()


def test_a_bundle_that_cannot_be_exchanged_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = describe_onnx(save_yolox(tmp_path / "tiny.onnx"), ImportOptions("yolox", ("blue", "red")))
    bundle.write(tmp_path / "bundle")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    other = describe_onnx(save_yolox(tmp_path / "other.onnx", box_cells=2), ImportOptions("yolox", ("blue", "red")))
    with pytest.raises(OSError, match="No space left"):
        other.write(tmp_path / "bundle", force=True)
    Bundle.load(tmp_path / "bundle").check_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "other.onnx", "tiny.onnx"]
