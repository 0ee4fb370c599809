"""The report's files: whole, of one piece, and true to the assessment."""

import dataclasses
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from scripts.assessment import Assessment, Maps, assess_maps
from scripts.report import write_report
from scripts.report.bullseye import bullseye
from scripts.report.document import write_document
from scripts.report.figures import curves_figure, region_time_figure, vectors_figure, ventricle_figure
from scripts.report.overview import DIVERGING
from scripts.report.page import page_data, write_page

Study = tuple[Maps, Assessment]


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_every_file_is_written_and_named(ring: Study, tmp_path: Path) -> None:
    written = write_report(*ring, tmp_path)
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert {path.name for path in written} >= {"report.html", "report.pdf", "curves.png", "curves.svg", "bullseyes.png"}
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    for path in tmp_path.rglob("*.png"):
        assert plt.imread(path).std() > 0.01


def test_the_page_holds_the_assessment_and_refers_to_nothing(ring: Study, tmp_path: Path) -> None:
    page = write_page(tmp_path / "report.html", *ring).read_text(encoding="utf-8")
    assert data_of(page)["assessment"] == ring[1].to_json()
    markup = page.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "://" not in re.sub(r'<script type="application/json".*?</script>', "", markup, flags=re.DOTALL)
    assert not re.search(r"\b(src|href)=", markup)
    assert "default-src 'none'" in page
    assert not re.search(r"/\*(STYLE|DATA|SCRIPT)\*/", page)
    assert "Not for diagnosis" in page


def test_a_name_cannot_become_markup(ring: Study, tmp_path: Path) -> None:
    maps, assessment = ring
    name = "</script><script>alert(1)</script>/*SCRIPT*/"
    assessment = dataclasses.replace(assessment, study={**assessment.study, "name": name})
    page = write_page(tmp_path / "report.html", maps, assessment).read_text(encoding="utf-8")
    assert data_of(page)["assessment"]["study"]["name"] == name
    assert "alert(1)</script>" not in page


def test_a_name_cannot_become_a_formula(ring: Study, tmp_path: Path) -> None:
    maps, assessment = ring
    assessment = dataclasses.replace(assessment, study={**assessment.study, "name": "a$b_{$c"})
    write_report(maps, assessment, tmp_path)
    assert "a$b_{$c: velocity curves" in (tmp_path / "figures" / "curves.svg").read_text(encoding="utf-8")


def test_the_crop_holds_the_heart_and_says_where_it_lies(ring: Study) -> None:
    maps, assessment = ring
    data = page_data(maps, assessment)
    inside = np.argwhere(maps.labels.any((0, 3)))
    low = np.array(data["origin"])
    high = low + np.array([data["width"], data["height"]])
    assert (low <= inside.min(0)).all()
    assert (inside.max(0) < high).all()
    assert len(data["slices"]) == 3
    assert data["first_slice"] == 1
    assert data["first_frame"] == int(np.nanargmax(assessment.slices[1].velocity_cm_s["radial"]["global"]))


def test_the_diverging_map_has_its_light_middle_at_zero(ring: Study) -> None:
    colours = np.array(page_data(*ring)["diverging"]).reshape(256, 3).astype(float)
    light = colours @ [0.3, 0.59, 0.11]
    assert light.argmax() in (127, 128)
    assert abs(light[0] - light[-1]) < 60
    assert colours[0, 0] > colours[0, 2]  # orange against purple: apart for red-green blindness, too
    assert colours[-1, 0] < colours[-1, 2]


def test_bullseye_paints_each_segment_where_the_aha_has_it() -> None:
    figure, axes = plt.subplots(figsize=(3, 3), dpi=100)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), position=(0, 0, 1, 1))
    axes.axis("off")
    bullseye(axes, (0.0, 0.0), {1: 1.0, 14: -1.0}, (-1.0, 1.0), DIVERGING, 1)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    plt.close(figure)

    def at(x: float, y: float) -> np.ndarray:
        return pixels[round(150 - 149 * y), round(150 + 149 * x)]

    ends = (np.array(plt.get_cmap(DIVERGING)([0.0, 1.0]))[:, :3] * 255).round()
    np.testing.assert_allclose(at(0.2, 0.8), ends[1], atol=2)  # basal anterior: up
    np.testing.assert_allclose(at(-0.25, 0.06), ends[0], atol=2)  # apical septal: left
    np.testing.assert_allclose(at(0, -0.75), [230] * 3, atol=2)  # no value: gray


def test_the_map_of_a_cine_that_ends_before_the_beat_ends_with_it(ring: Study) -> None:
    maps = dataclasses.replace(ring[0], cyclic=False, frame_duration_ms=ring[0].frame_duration_ms * 0.7)
    figure = region_time_figure(assess_maps(maps))
    ends = {image.get_extent()[1] for axes in figure.axes for image in axes.images}
    assert ends == {0.7 * float(maps.rr_ms[0])}


def test_volumes_are_drawn_where_twist_cannot_be(ring: Study) -> None:
    figure = ventricle_figure(dataclasses.replace(ring[1], stack=None))
    lines = {axes.get_title(): len(axes.get_lines()) for axes in figure.axes}
    assert lines["volume"] > lines["strain"] == lines["torsion rate"] == 1  # the zero line alone
    assert not ventricle_figure(dataclasses.replace(ring[1], stack=None, volumes=None)).axes


def test_a_study_without_a_ventricle_gives_a_report_that_says_so(nothing: Study, tmp_path: Path) -> None:
    write_report(*nothing, tmp_path)
    assert any("no slice" in text.get_text() for text in curves_figure(nothing[1]).texts)
    assert any("no slice" in text.get_text() for text in vectors_figure(nothing[1], nothing[0]).texts)
    assert data_of((tmp_path / "report.html").read_text(encoding="utf-8"))["missing"]


def test_the_pdf_needs_no_figures(ring: Study, tmp_path: Path) -> None:
    path = write_document(tmp_path / "a.pdf", ring[1], [])
    assert path.stat().st_size > 5000
