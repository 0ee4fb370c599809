"""The report in a real browser: it plays, every control works, nothing fails, and no request leaves.

It needs a Chromium: the environment variable CHROMIUM, or one on the PATH (Debian: apt install chromium).
"""

import base64
import dataclasses
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from scripts.assessment import Maps, assess_maps, cylindrical
from scripts.report.page import write_page
from tests.report.study import CENTRE, beating_maps

expect.set_options(timeout=60_000)
pytestmark = [pytest.mark.integration, pytest.mark.slow]
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Without these, Chromium asks hosts of its own for updates.
QUIET = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium: CHROMIUM is not set, and none of {', '.join(NAMES)} is on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    studies = {"ring": beating_maps(), "one": beating_maps(1), "nothing": beating_maps(1, ventricle=False)}
    return {name: write_page(folder / f"{name}.html", maps, assess_maps(maps)) for name, maps in studies.items()}


@pytest.fixture(scope="module")
def maps() -> Maps:
    return beating_maps()


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures show the same; Chromium may smooth an edge otherwise when it draws it again."""
    return one.shape == other.shape and float((np.abs(one - other).max(2) > 24).mean()) < 1e-3


class Opened:
    """A page that is open, and what went wrong in it."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, theme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, path))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def _note(self, url: str, path: Path) -> None:
        if url != path.as_uri() and not url.startswith("data:"):
            self.wrong.append(f"request: {url}")

    def settled(self) -> None:
        """Waits until the page has drawn what it was told to."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def picture(self) -> np.ndarray:
        """The cine as it is drawn, (height, width, 4)."""
        self.settled()
        url = self.page.evaluate("document.getElementById('image').toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA")).astype(int)

    def frame(self) -> int:
        self.settled()
        return int(self.page.locator("#frame").input_value())

    def click(self, place: str, x: float, y: float) -> None:
        """Clicks at a share of the width and the height of an element."""
        element = self.page.locator(place)
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        assert box
        element.click(position={"x": box["width"] * x, "y": box["height"] * y})

    def data(self) -> dict:
        return json.loads(self.page.locator("#data").text_content() or "")

    def button(self, place: str, name: str) -> Locator:
        return self.page.locator(place).get_by_role("button", name=name, exact=True)


@pytest.fixture
def opened(browser: Browser, reports: dict[str, Path]) -> Iterator[Opened]:
    opened = Opened(browser, reports["ring"])
    yield opened
    opened.context.close()
    assert opened.wrong == []


def test_peaks_lie_on_their_curve_where_rr_differs(browser: Browser, tmp_path: Path, maps: Maps) -> None:
    """Segments have the mean RR of their level; their curves and peaks are drawn on the axis of the slice on screen."""
    rr = np.array([700.0, 1000.0] * 3)
    twice = {name: np.repeat(getattr(maps, name), 2, axis=-1) for name in ("magnitude", "labels", "velocity")}
    uneven = dataclasses.replace(maps, **twice, rr_ms=rr, frame_duration_ms=rr / len(maps.acquired))
    page = write_page(tmp_path / "uneven.html", uneven, assess_maps(uneven))
    opened = Opened(browser, page)
    opened.page.locator("[data-segment='7']").click()
    at = "c => [c.getAttribute('cx'), c.getAttribute('cy')].map(Number)"
    for key in ("ArrowUp", "ArrowDown"):  # slices of either RR
        opened.page.keyboard.press(key)
        opened.settled()
        charts = opened.page.locator("#curves .chart")
        for k in (0, 2):  # radial and longitudinal, which peak in time
            path = charts.nth(k).locator("path.line:not(.faint)").get_attribute("d") or ""
            x, y = np.array([pair.split() for pair in path[1:].split("L")], float).T
            peak = charts.nth(k).locator("circle.marker").evaluate_all(f"all => all.map({at})")
            assert x[y.argmin()] == pytest.approx(peak[0][0], abs=1.5 * (x[1] - x[0]))
            assert x[y.argmax()] == pytest.approx(peak[1][0], abs=1.5 * (x[1] - x[0]))
    opened.context.close()
    assert opened.wrong == []


def test_the_map_of_a_cine_that_ends_has_its_own_times(browser: Browser, tmp_path: Path, maps: Maps) -> None:
    ends = dataclasses.replace(maps, cyclic=False, frame_duration_ms=maps.frame_duration_ms * 0.7)
    opened = Opened(browser, write_page(tmp_path / "ends.html", ends, assess_maps(ends)))
    times = [float(text) for text in opened.page.locator("#map-times span").all_inner_texts()]
    assert 500 < max(times) < 0.7 * maps.rr_ms[0]
    opened.context.close()
    assert opened.wrong == []


def test_plays_and_stops(opened: Opened) -> None:
    start = opened.frame()
    opened.page.keyboard.press("Space")
    expect(opened.page.locator("#frame")).not_to_have_value(str(start))
    expect(opened.page.locator("#play")).to_have_attribute("aria-pressed", "true")
    opened.page.locator("#play").click()
    expect(opened.page.locator("#play")).to_have_attribute("aria-pressed", "false")
    stopped = opened.frame()
    opened.page.wait_for_timeout(300)
    assert opened.frame() == stopped


def test_frames_by_buttons_keys_and_slider(opened: Opened) -> None:
    start, first = opened.frame(), opened.picture()
    opened.page.keyboard.press("ArrowRight")
    assert opened.frame() == start + 1
    assert not same(opened.picture(), first)
    opened.page.locator("#back").click()
    assert opened.frame() == start
    assert same(opened.picture(), first)
    opened.page.locator("#frame").fill("0")
    expect(opened.page.locator("#when")).to_contain_text("0 ms · 0 % RR")
    opened.page.keyboard.press("ArrowLeft")
    expect(opened.page.locator("#when")).to_contain_text("interpolated")
    assert opened.frame() == 23


def test_each_layer_and_component_changes_the_picture(opened: Opened) -> None:
    for key in "clrvaos":
        before = opened.picture()
        opened.page.keyboard.press(key)
        assert not same(opened.picture(), before), key


def test_buttons_and_keys_do_the_same(opened: Opened) -> None:
    for place, name, key, back in (
        ("#components", "longitudinal", "l", "r"),
        ("#layers", "Arrows", "a", "a"),
        ("#layers", "Sectors", "s", "s"),
        ("#layers", "Colour", "v", "v"),
    ):
        opened.page.keyboard.press(key)
        by_key = opened.picture()
        opened.page.keyboard.press(back)
        opened.button(place, name).click()
        assert same(opened.picture(), by_key)
        expect(opened.page.locator(f"{place} button", has_text=name)).to_have_attribute(
            "aria-pressed", "false" if name == "Colour" else "true"
        )
        opened.page.keyboard.press(back)


def test_space_presses_the_button_in_focus_and_plays_after_a_click(opened: Opened) -> None:
    opened.button("#layers", "Arrows").focus()
    opened.page.keyboard.press("Space")
    expect(opened.button("#layers", "Arrows")).to_have_attribute("aria-pressed", "true")
    expect(opened.page.locator("#play")).to_have_attribute("aria-pressed", "false")
    opened.button("#layers", "Arrows").click()
    opened.page.keyboard.press("Space")
    expect(opened.button("#layers", "Arrows")).to_have_attribute("aria-pressed", "false")
    expect(opened.page.locator("#play")).to_have_attribute("aria-pressed", "true")


def test_slices_by_button_and_key(opened: Opened) -> None:
    opened.page.locator("#slices").get_by_role("button", name="Slice 3").click()
    opened.page.wait_for_selector("#image[data-slice='2']")
    assert "slice 3 of 3, apex" in opened.page.locator("#where").inner_text()
    opened.page.keyboard.press("ArrowUp")
    opened.page.wait_for_selector("#image[data-slice='1']")
    expect(opened.page.locator("#slices button").nth(1)).to_have_attribute("aria-pressed", "true")


def test_values_at_the_pointer_are_those_of_the_pixel(opened: Opened, maps: Maps) -> None:
    data, frame = opened.data(), opened.frame()
    expected = cylindrical(maps.labels[..., 1], maps.velocity[..., 1], maps.spacing_mm[:2])[:, frame]
    box = opened.page.locator("#image").bounding_box()
    assert box
    x, y = CENTRE[0] + 13, CENTRE[1] + 8  # in the wall, below and to the right of the centre
    assert np.isfinite(expected[:, x, y]).all()
    opened.page.mouse.move(
        box["x"] + (x - data["origin"][0] + 0.5) * box["width"] / data["width"],
        box["y"] + (y - data["origin"][1] + 0.5) * box["height"] / data["height"],
    )
    words = opened.page.locator("#pointed").inner_text().replace("−", "-")
    for component, value in zip(data["components"], expected[:, x, y], strict=True):
        shown = float(re.search(rf"{component['name']} [≥≤]? ?(-?[\d.]+)", words)[1])
        assert shown == pytest.approx(float(value), abs=0.06 + component["limit"] / 254)


def test_curves_show_the_values_of_the_frame(opened: Opened) -> None:
    data = opened.data()
    curves = data["assessment"]["slices"][1]["velocity_cm_s"]
    opened.page.locator("#frame").fill("4")
    opened.settled()
    for k, name in enumerate(("radial", "circumferential", "longitudinal")):
        shown = opened.page.locator(".chart").nth(k).locator(".entry span").first.inner_text()
        assert float(shown.replace("−", "-")) == pytest.approx(curves[name]["global"][4], abs=0.051)
    opened.click(".chart svg >> nth=0", 0.9, 0.5)
    assert opened.frame() > 18


def test_regions_and_families_of_curves(opened: Opened) -> None:
    for name, lines in (("Six sectors", 6), ("Layers", 3), ("Global", 1)):
        opened.button("#regions", name).click()
        expect(opened.page.locator(".chart").first.locator("path.line")).to_have_count(lines)
    for name, title in (("Strain", "radial strain"), ("Twist", "rotation"), ("Volume", "blood pool")):
        opened.button("#families", name).click()
        expect(opened.page.locator(".chart b").first).to_have_text(title)
        assert opened.page.locator("#curves path.line").count() >= 2


def test_a_segment_shows_its_curve_and_its_slice(opened: Opened) -> None:
    segment = opened.page.locator("[data-segment='13']")
    segment.focus()
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#image[data-slice='2']")
    expect(opened.page.locator("[data-segment='13']")).to_have_attribute("aria-pressed", "true")
    expect(opened.page.locator(".chart").first.locator(".entry").first).to_contain_text("13 A")
    expect(opened.page.locator(".chart").first.locator("path.line")).to_have_count(2)
    opened.page.locator("[data-segment='13']").click()
    expect(opened.page.locator(".chart").first.locator("path.line")).to_have_count(1)


def test_the_bullseye_shows_the_quantity_that_is_chosen(opened: Opened) -> None:
    segments = {one["number"]: one for one in opened.data()["assessment"]["segments"]}
    for label, component, code, field, digits in (
        ("longitudinal: PD, peak early diastolic (cm/s)", "longitudinal", "PD", "value_cm_s", 1),
        ("radial: time of PS (ms)", "radial", "PS", "time_ms", 0),
    ):
        opened.page.locator("#quantity").select_option(label=label)
        opened.settled()
        for number, segment in segments.items():
            (value,) = (m[field] for m in segment["markers"] if (m["component"], m["code"]) == (component, code))
            shown = opened.page.locator(f"[data-segment='{number}']").get_attribute("aria-label") or ""
            found = float(shown.split(": ")[1].split()[0].replace("−", "-"))
            assert found == pytest.approx(value, abs=0.51 * 10**-digits)


def test_the_map_follows_and_moves_the_cine(opened: Opened) -> None:
    opened.click("#map", 0.51, 0.1)
    assert opened.frame() == 12
    value = opened.data()["assessment"]["slices"][1]["velocity_cm_s"]["radial"]["sectors_24"][2][12]
    assert f"Sector 3 (AS): {value:.1f}".replace("-", "−") in opened.page.locator("#map-note").inner_text()


def test_tables(opened: Opened) -> None:
    for name, rows in (("Sectors", 9), ("Segments", 16), ("Summary", 20), ("Dyssynchrony", 2), ("Slices", 3)):
        opened.button("#tabs", name).click()
        opened.settled()
        assert opened.page.locator("#table tbody tr").count() >= rows


def test_flags_methods_and_the_disclaimer_can_be_read(opened: Opened) -> None:
    text = opened.page.locator("body").inner_text()
    assessment = opened.data()["assessment"]
    assert "Not for diagnosis" in text
    assert assessment["flags"][0]["text"] in text
    for words in (
        *assessment["methods"].values(),
        *assessment["conventions"].values(),
        *assessment["software"].values(),
    ):
        assert words in text
    for row in assessment["reference"]:
        assert row["source"] in text


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_fits_the_screen_in_both_themes(browser: Browser, reports: dict[str, Path], width: int, theme: str) -> None:
    opened = Opened(browser, reports["ring"], width, theme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    back = "getComputedStyle(document.body).backgroundColor"
    before = opened.page.evaluate(back)
    opened.page.locator("#theme").click()
    assert opened.page.evaluate(back) != before
    opened.context.close()
    assert opened.wrong == []


@pytest.mark.parametrize("name", ["one", "nothing"])
def test_studies_of_one_slice_and_of_no_ventricle_open(browser: Browser, reports: dict[str, Path], name: str) -> None:
    opened = Opened(browser, reports[name])
    for key in "rclvaos":
        opened.page.keyboard.press(key)
    for family in ("Strain", "Twist", "Volume", "Velocity"):
        opened.button("#families", family).click()
    for table in ("Sectors", "Segments", "Summary", "Dyssynchrony"):
        opened.button("#tabs", table).click()
    opened.page.locator("[data-segment='2']").click()
    opened.settled()
    assert "Not available" in opened.page.locator("#missing").inner_text()
    if name == "nothing":
        assert "no complete ventricle" in opened.page.locator("#where").inner_text()
    opened.context.close()
    assert opened.wrong == []
