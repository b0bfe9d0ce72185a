"""The controller's page in a real browser: a researcher with a token, from an empty list to a report; and with a keyboard."""

import contextlib
import time

import httpx
import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import browser, said
from tests.services.experiment import TOKEN, answers, specification

LIMIT_S = 240
"""Until something is seen, on a machine with much else to do."""
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def controller(serve):
    """A controller that asks for a token, with three nodes and a generator."""
    address, _ = serve("controller")
    answers(address)
    for k in range(3):
        serve("edge-node", EDGEBED_NODE=f"node-{k}", EDGEBED_CONTROLLER=address)
    serve("task-generator", EDGEBED_CONTROLLER=address)
    return address


@pytest.fixture
def page(controller):
    with browser() as driver:
        yield Page(driver, controller)


class Page:
    """What a person sees and does."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address

    def open(self, path="/"):
        self.driver.get(self.address + path)

    def find(self, css):
        """What is in sight."""
        return [one for one in self.driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()]

    def until(self, condition):
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            with contextlib.suppress(StaleElementReferenceException):  # drawn again while it was looked at
                if found := condition():
                    return found
            time.sleep(0.05)
        raise AssertionError(self.text())

    def see(self, css):
        return self.until(lambda: self.find(css))[0]

    def read(self, text):
        self.until(lambda: text in self.text())

    def text(self):
        return self.driver.execute_script("return document.body.innerText")

    def value(self, script):
        return self.driver.execute_script(f"return {script}")

    def press(self, text):
        (button,) = self.until(lambda: [one for one in self.find("button, .button") if one.text == text])
        button.click()

    def write(self, document):
        """Pastes the YAML."""
        area = self.see("#document")
        area.clear()
        self.driver.execute_script("arguments[0].value = arguments[1]", area, document)
        area.send_keys(" ")

    def enter(self, token):
        field = self.see("#token")
        field.send_keys(token)
        field.send_keys(Keys.ENTER)

    def percent(self):
        """Of the bar of the whole experiment."""
        return int(self.see(".large .bar").get_attribute("aria-valuenow"))


def complaints(page):
    """Beyond refusals of the API, which a browser logs as well."""
    return [one for one in said(page.driver) if "Failed to load resource" not in one]


def test_from_a_token_to_a_report(page):
    page.open()
    page.read("This controller asks for a token")
    page.enter("wrong")
    page.read("refused this token")
    assert page.value("sessionStorage.length") == 0
    assert "No experiment" not in page.text()
    page.enter(TOKEN)
    page.read("No experiment has been run here yet")
    page.until(lambda: page.see("#link").text == "live")
    assert page.value("document.cookie") == ""

    page.press("New experiment")
    right = specification(episodes=6).replace("spec:", "spec:\n  description: '<b>5 < 6</b>'", 1)
    page.write(right.replace("name: ratc", f"name: '{HOSTILE}'").replace("seed: 3", "seed: -3"))
    page.press("Start")
    page.read("things to put right")
    lines = [one.text for one in page.find(".problems .line")]
    wrong = [n for n, line in enumerate(right.splitlines(), 1) if "seed: 3" in line or "policy: ratc" in line]
    assert {f"line {n}" for n in wrong} <= set(lines)
    assert "spec.seed -3 is not allowed" in page.text()
    assert HOSTILE in page.text()  # as text
    assert page.find("#view img") == []
    assert {f"line {one.text}" for one in page.find(".gutter .wrong")} == set(lines)

    page.driver.execute_script("window.stayed = true")
    page.write(right)
    page.press("Start")
    page.until(lambda: page.value("location.hash") == "#/experiments/small")
    for _ in range(3):
        at = page.percent()
        page.until(lambda at=at: page.percent() > at)
    page.until(lambda: len(page.find(".node")) == 3)
    page.until(lambda: page.find(".spark"))
    page.until(lambda: "of playing left" in page.text())
    assert "evaluating ratc" in page.text()
    assert page.see(".chip").text == "running"
    assert "%" in page.value("document.title")

    page.until(lambda: page.see(".chip").text == "finished")
    assert page.percent() == 100
    page.see(".verdict")
    assert page.value("window.stayed")  # all of it without loading the page again
    page.press("Open report")
    page.until(lambda: len(page.driver.window_handles) == 2)
    first, second = page.driver.window_handles
    page.driver.switch_to.window(second)
    shows_the_report(page)
    assert complaints(page) == []
    page.driver.switch_to.window(first)
    assert complaints(page) == []

    # The report as the API serves it, under the policy that it is served with.
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Authorization": f"Bearer {TOKEN}"}})
    page.open("/v1/experiments/small/report")
    shows_the_report(page)
    assert complaints(page) == []
    page.open("/page/view.html?experiment=small&file=figures/comparison.svg")
    page.until(lambda: page.value("document.querySelector('img.figure')?.naturalWidth"))
    page.open("/page/view.html?experiment=small&file=controller.json")
    page.read("small has no 'controller.json'")
    assert complaints(page) == []


def shows_the_report(page):
    """With its words, its styles and its drawings; what a user wrote is text."""
    page.until(lambda: page.find(".verdict .first"))
    assert page.see("h1").text == "small"
    assert "<b>5 < 6</b>" in page.text()
    assert page.see(".verdict").value_of_css_property("border-left-width") == "4px"
    assert page.see("figure svg").size["height"] > 50


def test_stopped_and_resumed_with_a_file_by_keyboard_on_a_phone(page, tmp_path):
    page.open()
    page.enter(TOKEN)
    page.read("No experiment has been run here yet")
    page.driver.set_window_size(500, 900)  # the least that a window may be; below, a phone is emulated
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    file = tmp_path / "mine.yaml"
    file.write_text(specification(episodes=12))
    tab_to(page, "New experiment").send_keys(Keys.ENTER)
    page.see("#document")
    drop(page, file)
    page.until(lambda: page.value("document.getElementById('document').value") == file.read_text())
    tab_to(page, "Start").send_keys(Keys.ENTER)
    page.until(lambda: page.value("location.hash") == "#/experiments/small" and page.percent() > 0)
    assert fits(page)

    tab_to(page, "Stop").send_keys(Keys.ENTER)
    page.read("Stop small?")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: "Stop small?" not in page.text())
    assert page.see(".chip").text == "running"
    page.press("Stop")
    page.press("Stop it")
    page.until(lambda: page.see(".chip").text == "stopped")
    at = page.percent()
    page.press("Resume")
    page.see("#confirm-yes").click()
    page.until(lambda: page.see(".chip").text == "running" and page.percent() > at)

    page.open("/#/")
    assert page.until(lambda: [one.text for one in page.find(".experiment h2")]) == ["small"]
    assert fits(page)
    light = page.value("getComputedStyle(document.body).backgroundColor")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [dark]})
    assert page.value("getComputedStyle(document.body).backgroundColor") != light
    page.press("Forget token")
    page.read("This controller asks for a token")
    assert page.find(".experiment") == []
    assert complaints(page) == []
    stop(page)


def test_only_the_files_of_the_page_are_open(serve):
    """Nothing that the controller knows is in them."""
    controller, _ = serve("controller")
    answers(controller)
    with httpx.Client(base_url=controller, trust_env=False) as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/main.js").status_code == 200
        for path in (
            "/v1/experiments",
            "/v1/events",
            "/v1/experiments/x/report",
            "/page/../v1/experiments",
            "/page/",
        ):
            assert client.get(path).status_code == 401, path


def fits(page):
    """Nobody has to scroll sideways."""
    return page.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def tab_to(page, text):
    """What has the focus after so many presses of the tabulator."""
    for _ in range(40):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()  # to whatever has the focus: a field for files, too
        if (there := page.driver.switch_to.active_element).text == text:
            return there
    raise AssertionError(f"{text} cannot be reached: {page.text()}")


def drop(page, file):
    """A file is dragged from elsewhere and let go."""
    page.driver.execute_script(
        """
        const data = new DataTransfer();
        data.items.add(new File([arguments[0]], "mine.yaml", {type: "application/yaml"}));
        for (const name of ["dragover", "drop"])
          document.body.dispatchEvent(new DragEvent(name, {dataTransfer: data, bubbles: true, cancelable: true}));
        """,
        file.read_text(),
    )


def stop(page):
    """So that the services can end at once."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.delete(f"{page.address}/v1/experiments/small", headers=headers, trust_env=False)
