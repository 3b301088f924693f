"""The playground in a real browser."""

import base64
import io
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.serving import handmade
from tests.serving.server.conftest import Server, start

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver"
)
# As root and without a network: it would look its maker up.
OPTIONS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1300,1000"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def versions(base_path, tmp_path_factory) -> Iterator[Server]:
    config = tmp_path_factory.mktemp("playground") / "models.config"
    config.write_text(
        "model_config_list { config { "
        f'name: "small" base_path: "{base_path}" '
        'model_version_policy { all {} } version_labels { key: "stable" value: 2 } } }'
    )
    found = start("--model_config_file", config, "--engine", "onnx")
    yield found
    assert found.stop() == 0


@pytest.fixture
def page(browser, versions) -> "Page":
    found = Page(browser, versions)
    found.wait(lambda: len(found.versions()) == 3)
    return found


class Page:
    def __init__(self, browser: webdriver.Chrome, server: Server) -> None:
        self.browser, self.server = browser, server
        browser.get_log("browser")
        browser.get(f"http://127.0.0.1:{server.rest_port}/")

    def wait(self, reached) -> None:
        WebDriverWait(self.browser, 60, 0.05).until(lambda _: reached())

    def find(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def versions(self) -> list[str]:
        found = self.browser.find_elements(By.CSS_SELECTOR, "article h2")
        return [title.text for title in found]

    def draw(self, *points: tuple[int, int]) -> None:
        scene = self.find("#scene")
        actions = ActionChains(self.browser, duration=20)
        actions.move_to_element_with_offset(scene, *points[0]).click_and_hold()
        for point in points[1:]:
            actions.move_to_element_with_offset(scene, *point)
        actions.release().perform()

    def slide(self, name: str, value: int) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.browser.execute_script(script, self.find(f"#{name}"), value)

    def png(self, selector: str) -> bytes:
        url = self.browser.execute_script(
            "return arguments[0].toDataURL('image/png')", self.find(selector)
        )
        return base64.b64decode(url.partition(",")[2])

    def pixels(self, selector: str) -> np.ndarray:
        image = Image.open(io.BytesIO(self.png(selector))).convert("L")
        return np.asarray(image).astype(np.float32) / 255

    def scores(self, version: int) -> list[str]:
        # In one go: the page may replace the list meanwhile.
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map(item => [...item.querySelectorAll('b')].map(b => b.textContent).join(' '))"
        )
        found: list[str] = self.browser.execute_script(script, f"#version-{version} .scores li")
        return found

    def answer(self, version: int, signature: str = ""):
        """What the server says of the scene, asked without the page."""
        query = f"?signature_name={signature}" if signature else ""
        path = f"/v1/models/small/versions/{version}:predict{query}"
        status, found = self.server.call(path, self.png("#scene"), "image/png")
        assert status == 200, found
        return found["predictions"][0]

    def settle(self) -> None:
        """Waits for the scores and crops of the scene as it is."""
        for version in (1, 2, 3):
            probabilities = self.answer(version)["probabilities"]
            order = np.argsort(-np.array(probabilities), kind="stable")
            wanted = [f"{index} {100 * probabilities[index]:.1f} %" for index in order]
            self.wait(lambda v=version, w=wanted: self.scores(v) == w)
            crop = np.array(self.answer(version, "rectify"))[..., 0]
            selector = f"#version-{version} .crop"
            self.wait(
                lambda s=selector, c=crop: (
                    self.pixels(s).shape == c.shape and np.abs(self.pixels(s) - c).max() < 0.01
                )
            )


def test_draw_turn_and_see(page):
    assert page.versions() == ["Version 3", "Version 2 · stable", "Version 1"]
    assert page.find("#hint").is_displayed()
    page.draw((-60, -60), (-60, 40), (50, 40))
    assert not page.find("#hint").is_displayed()
    page.settle()
    drawn, before = page.pixels("#scene"), page.scores(1)
    assert drawn.max() == 1.0
    crop, look = page.pixels("#version-1 .crop"), page.pixels("#version-1 .look")
    # The grid lies over the image.
    assert np.abs(look - drawn).max() > 0.2
    page.slide("turn", 90)
    page.settle()
    turned = page.pixels("#scene")
    side = min(drawn.shape)
    top, left = ((length - side) // 2 for length in drawn.shape)
    square = np.s_[top : top + side, left : left + side]
    assert np.abs(turned[square] - np.rot90(drawn[square], -1)).mean() < 0.01
    assert np.abs(page.pixels("#version-1 .crop") - crop).max() > 0.1
    assert page.scores(1) != before
    page.slide("scale", 50)
    page.settle()
    assert page.pixels("#scene").sum() == pytest.approx(turned.sum() / 4, rel=0.1)
    page.find("#clear").click()
    page.settle()
    assert page.pixels("#scene").max() == 0.0
    assert page.find("#turn").get_attribute("value") == "0"
    errors = [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_open_a_file(page, tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (18, 16), np.uint8)
    Image.fromarray(levels).save(tmp_path / "image.png")
    page.find("#file").send_keys(str(tmp_path / "image.png"))
    page.wait(lambda: page.pixels("#scene").max() > 0)
    page.settle()
    (tmp_path / "text.png").write_text("no image")
    page.find("#file").send_keys(str(tmp_path / "text.png"))
    page.wait(lambda: "text.png is no image" in page.find("#message").text)


def test_the_curl_command_asks_the_same(page):
    command = page.find("#curl").text
    url = f"http://127.0.0.1:{page.server.rest_port}/v1/models/small/versions/3:predict"
    assert command == f"curl -H 'Content-Type: image/png' --data-binary @image.png '{url}'"
    page.wait(lambda: (page.find("#download").get_attribute("href") or "").startswith("blob:"))


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Iterator[Server]:
    """Models that are no classifiers, each in a folder of versions."""
    folder = tmp_path_factory.mktemp("others")
    makers = (
        *(handmade.regression, handmade.multilabel, handmade.embedding),
        *(handmade.dense, handmade.several_crops),
    )
    models = [make(folder / make.__name__ / "1") for make in makers]
    found = start(*(model.path.parent for model in models))
    yield found
    assert found.stop() == 0


def test_what_is_no_class(browser, others):
    """Numbers, labels, vectors and pictures, each as the server says them of the scene."""
    server = others
    page = Page(browser, server)
    page.wait(lambda: page.find("#model").get_attribute("value") != "")

    def choose(name: str) -> None:
        script = (
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))"
        )
        browser.execute_script(script, page.find("#model"), name)
        page.draw((-60, -60), (-60, 40), (50, 40))

    def said(name: str, signature: str = ""):
        query = f"?signature_name={signature}" if signature else ""
        path = f"/v1/models/{name}:predict{query}"
        status, found = server.call(path, page.png("#scene"), "image/png")
        assert status == 200, found
        return found["predictions"][0]

    choose("regression")
    row = said("regression")
    wanted = {"age": row["age"][0], **{f"pose {i}": row["pose"][i] for i in range(3)}}

    def told() -> dict[str, float]:
        pairs = (text.rsplit(" ", 1) for text in page.scores(1))
        return {name: float(value) for name, value in pairs}

    page.wait(lambda: told() == pytest.approx({**wanted, "temperature": row["temperature"]}, 1e-4))

    choose("multilabel")
    row = said("multilabel")
    names = ("sky", "sea", "sand", "snow")
    order = np.argsort(-np.array(row["probabilities"]))
    shown = [f"{names[i]} {100 * row['probabilities'][i]:.1f} %" for i in order]
    page.wait(lambda: page.scores(1) == shown)
    script = "return [...document.querySelectorAll('.scores .chosen b:first-of-type')]"
    script += ".map(b => b.textContent)"
    assert browser.execute_script(script) == row["labels"]

    choose("embedding")
    vector = said("embedding")

    def preview() -> list[str]:
        return page.scores(1)[0].split() if len(page.scores(1)) == 1 else []

    page.wait(lambda: preview()[:1] == ["vector"] and "(8 numbers, length " in page.scores(1)[0])
    page.wait(lambda: float(preview()[1]) == pytest.approx(vector[0], rel=1e-4))
    assert not page.find(".pictures").is_displayed()

    choose("dense")
    assert "any size; this one has 224 " in page.find("#message").text
    largest = np.argmax(said("dense"), axis=-1)
    page.wait(lambda: page.browser.find_elements(By.CSS_SELECTOR, ".map") != [])
    assert page.find(".maps figcaption").text == "map: the largest of 2 channels"

    def regions() -> bool:
        colours = np.asarray(Image.open(io.BytesIO(page.png(".map"))).convert("RGB"))
        if colours.shape[:2] != largest.shape:
            return False
        first, second = (colours[largest == index] for index in range(2))
        alone = all((some == some[0]).all() for some in (first, second))
        return bool(alone and (first[0] != second[0]).any())

    page.wait(regions)

    choose("several_crops")
    crops = np.concatenate(said("several_crops", "rectify"))

    def seen() -> bool:
        drawn = np.asarray(Image.open(io.BytesIO(page.png(".crop"))).convert("RGB"))
        # Two crops stand side by side; their numbers are those of 0..255.
        if drawn.shape != (3, 10, 3):
            return False
        beside = np.concatenate([drawn[:, :5], drawn[:, 5:]])
        return bool(np.abs(beside - crops).max() <= 1)

    page.wait(seen)
    look = np.asarray(Image.open(io.BytesIO(page.png(".look"))).convert("RGB")).astype(int)
    # The upper edges of both halves have a colour of their own.
    marked = np.abs(look - [255, 92, 122]).max(axis=-1) < 40
    rows = np.flatnonzero(marked.mean(axis=1) > 0.5)
    assert rows.min() < 5
    assert abs(rows.max() - len(look) / 2) < 5
    assert page.scores(1)[0].startswith("sum ")
    errors = [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_a_server_with_keys(browser, base_path, tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    server = start(base_path, "--engine", "onnx", "--api_keys_file", tmp_path / "keys")
    try:
        page = Page(browser, server)
        page.wait(lambda: "API key" in page.find("#message").text)
        assert page.versions() == []
        page.find("#key").send_keys("secret\t")
        page.wait(lambda: page.versions() == ["Version 3"])
        assert "Authorization: Bearer KEY" in page.find("#curl").text
        page.wait(lambda: len(page.scores(3)) == 3)
    finally:
        server.stop()


def test_nothing_comes_from_elsewhere(browser, versions):
    page = Page(browser, versions)
    script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    names: list[str] = []

    def asked() -> bool:
        names[:] = browser.execute_script(script)
        return any(name.endswith(":predict") for name in names)

    page.wait(asked)
    origin = f"http://127.0.0.1:{versions.rest_port}/"
    assert [name for name in names if not name.startswith((origin, "data:", "blob:"))] == []
