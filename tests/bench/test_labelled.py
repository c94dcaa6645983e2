from pathlib import Path

from bench import labelled


def test_without_labels_the_figure_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("VEDETTE_SHARED", str(tmp_path))
    assert labelled.labels_file() is None
    [figure] = labelled.accuracy(Path("vtest.avi"), ("default",), print).figures
    assert (figure.value, figure.kept) == (None, None)
    assert "VEDETTE_SHARED" in figure.note


def test_another_clip_is_not_held_against_these_labels(tmp_path, monkeypatch):
    labels = tmp_path / "pets09-s2l1" / "gt.txt"
    labels.parent.mkdir()
    labels.write_text("1,1,10,10,20,40,1\n")
    monkeypatch.setenv("VEDETTE_SHARED", str(tmp_path))
    assert labelled.labels_file() == labels
    [figure] = labelled.accuracy(Path("photograph-pan.avi"), ("default",), print).figures
    assert figure.value is None
