"""The HTTP interface of `refinesr serve`, with a tiny model."""

import asyncio
import io
import itertools
import json
import re
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from methods import packed, plain, stage
from PIL import Image
from starlette.testclient import TestClient

import refinesr
from refinesr.images.io import read_bytes
from refinesr.images.span import Span
from refinesr.restore import Options
from refinesr.stage import Progress, Stage
from refinesr.web import app, job, worker
from refinesr.web.app import PAGE, UPLOAD_TYPE, application
from refinesr.web.job import JobSettings, result_name
from refinesr.web.worker import Worker

MODEL = stage(replace(packed(4), tile=16))
OPTIONS = Options(precision="fp32")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(20, 235, (20, 31, 3), np.uint8)


class Browser:
    """Sends the requests that the page sends."""

    def __init__(self, there: Worker) -> None:
        self.worker = there
        self.http = TestClient(application(there, ["127.0.0.1"]), base_url="http://127.0.0.1")

    def send(self, data: bytes, name: str = "photo.png", **settings: Any) -> str:
        query = {"name": name, "settings": json.dumps(settings)}
        answer = self.http.post("/jobs", params=query, content=data, headers={"content-type": UPLOAD_TYPE})
        assert answer.status_code == 201, answer.text
        key = answer.json()["key"]
        assert isinstance(key, str)
        return key

    def state(self, key: str) -> dict[str, Any]:
        answer = self.http.get(f"/jobs/{key}")
        return answer.json() if answer.status_code == 200 else {"state": "gone"}

    def until(self, key: str, *states: str) -> dict[str, Any]:
        for _ in range(6000):
            if (said := self.state(key))["state"] in states:
                return said
            time.sleep(0.01)
        raise AssertionError(f"{said} for a minute")

    def over(self, key: str) -> dict[str, Any]:
        return self.until(key, "done", "failed", "cancelled", "gone")

    def fetched(self, path: str) -> bytes:
        answer = self.http.get(path)
        assert answer.status_code == 200, path
        return answer.content


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Worker(MODEL, OPTIONS, "tiny") as there:
        yield Browser(there)


def png(pixels: Any = PIXELS, **more: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **more)
    return file.getvalue()


def opened(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    "settings", [{}, {"seed": 3, "steps": 2}, {"fidelity": 1.0}, {"orientations": 2, "consistent": False}]
)
def test_the_result_is_what_upscale_makes(browser: Browser, settings: dict[str, Any]) -> None:
    key = browser.send(png(dpi=(300, 300)), **settings)
    said = browser.over(key)
    large = refinesr.upscale(MODEL, PIXELS, precision="fp32", **settings)
    assert np.array_equal(opened(browser.fetched(f"/jobs/{key}/result")), large)
    assert np.array_equal(opened(browser.fetched(f"/jobs/{key}/after")), large)
    assert np.array_equal(opened(browser.fetched(f"/jobs/{key}/before")), PIXELS)
    assert (said["from"], said["size"], said["name"]) == ([20, 31], [80, 124], "photo-x4.png")
    assert said["bytes"] == len(browser.fetched(f"/jobs/{key}/result"))
    small = Image.fromarray(large).resize((31, 20), Image.Resampling.BICUBIC)
    assert said["agreement"] == pytest.approx(np.mean(np.asarray(small) == PIXELS))
    answer = browser.http.get(f"/jobs/{key}/result")
    assert answer.headers["content-disposition"] == 'attachment; filename="photo-x4.png"'
    assert Image.open(io.BytesIO(answer.content)).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_estimates_are_shown_while_sampling(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is the estimate that `refine` yields, if not so large that it is reduced."""
    seen: list[np.ndarray[Any, Any]] = []
    reduced = job.subsampled

    def watched(picture: Any) -> Any:
        seen.append(picture.pixels)
        return reduced(picture)

    monkeypatch.setattr(job, "subsampled", watched)
    key = browser.send(png(), steps=3)
    assert browser.over(key)["estimate"] == 2
    walk = list(refinesr.refine(MODEL, PIXELS, steps=3, precision="fp32"))
    assert len(seen) == 2
    assert all(np.array_equal(*pair) for pair in zip(seen, [step.image for step in walk[:2]], strict=True))
    assert np.array_equal(opened(browser.fetched(f"/jobs/{key}/estimate")), seen[-1])


@pytest.mark.slow
def test_an_estimate_is_sent_whole_while_the_next_is_computed(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content length is not that of another estimate."""
    heights = itertools.cycle((1, 20))
    monkeypatch.setattr(job, "subsampled", lambda _: read_bytes(png(PIXELS[: next(heights)])))
    key, fetched = browser.send(png(), steps=300), 0
    while browser.state(key)["state"] != "done":
        answer = browser.http.get(f"/jobs/{key}/estimate")
        if answer.status_code == 200:
            fetched += 1
            assert int(answer.headers["content-length"]) == len(answer.content)
    assert fetched > 1


def test_a_large_estimate_is_subsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "MAX_ESTIMATE_SIDE", 10)
    alpha = RNG.integers(0, 255, (20, 31), np.uint8)
    small = job.subsampled(read_bytes(png(np.dstack([PIXELS, alpha]))))
    assert np.array_equal(small.pixels_with_alpha(), np.dstack([PIXELS, alpha])[::4, ::4])


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "tiff"])
def test_the_result_has_the_chosen_format_and_can_be_shown(browser: Browser, ext: str) -> None:
    key = browser.send(png(), "a.b.jpeg", ext=ext)
    assert browser.over(key)["name"] == f"a.b-x4.{ext}"
    for part, form in (("result", ext), ("after", "png" if ext == "tiff" else ext)):
        answer = browser.http.get(f"/jobs/{key}/{part}")
        kind = Image.open(io.BytesIO(answer.content)).get_format_mimetype()
        assert answer.headers["content-type"] == kind == f"image/{form.replace('jpg', 'jpeg')}"


def test_deep_pictures_keep_their_depth_and_are_shown_in_8_bits(browser: Browser) -> None:
    file = io.BytesIO()
    deep = RNG.random((12, 14, 4), np.float32)
    tifffile.imwrite(file, deep[..., :3], photometric="rgb")
    key = browser.send(file.getvalue(), "field.tif", ext="tiff")
    browser.over(key)
    large = tifffile.imread(io.BytesIO(browser.fetched(f"/jobs/{key}/result")))
    assert (large.dtype, large.shape) == (np.float32, (48, 56, 3))
    after, before = (opened(browser.fetched(f"/jobs/{key}/{part}")) for part in ("after", "before"))
    assert np.array_equal(after, np.rint(large.clip(0, 1) * 255))
    assert np.array_equal(before, np.rint(deep[..., :3] * 255))


def test_lost_metadata_is_a_warning_in_the_report(browser: Browser) -> None:
    file = io.BytesIO()
    tags = [(42113, 2, None, "0", True)]
    tifffile.imwrite(file, PIXELS, photometric="rgb", extratags=tags)
    told = [browser.over(browser.send(file.getvalue(), "scene.tif", ext=ext)) for ext in ("png", "tiff")]
    assert [said["state"] for said in told] == ["done", "done"]
    line = "only results in TIFF say where they lie and what is missing; choose TIFF as the format"
    assert [said.get("warning") for said in told] == [line, None]
    assert "report.warning" in (PAGE / "page.js").read_text()


def test_a_failed_job_has_a_message_and_the_next_one_runs(browser: Browser) -> None:
    bad = browser.send(b"not a picture", "bad.png")
    file = io.BytesIO()
    tifffile.imwrite(file, RNG.random((8, 8, 3), np.float32), photometric="rgb")
    floats = browser.send(file.getvalue(), "field.tif")
    good = browser.send(png())
    message = "bad.png: not a picture; PNG, JPEG, WebP, BMP, GIF and TIFF can be read"
    assert browser.over(bad) == {"state": "failed", "ahead": 0, "message": message}
    assert browser.over(floats)["message"] == "field-x4.png: PNG cannot hold float pixels; use .tiff"
    assert browser.http.get(f"/jobs/{bad}/result").status_code == 404
    assert browser.over(good)["state"] == "done"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_fails_one_job_only(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(job, "restore_picture", lambda *_, **__: iter([1 // 0]))
        assert browser.over(browser.send(png()))["message"].startswith("photo.png: ZeroDivisionError")
    assert browser.over(browser.send(png()))["state"] == "done"


def test_a_bug_in_a_handler_is_an_internal_error(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser.worker, "jobs_ahead", lambda _: 1 // 0)
    http = TestClient(browser.http.app, "http://127.0.0.1", raise_server_exceptions=False)
    answer = http.get(f"/jobs/{browser.send(png())}")
    assert (answer.status_code, answer.json()["message"][:18]) == (500, "ZeroDivisionError:")
    assert "1 // 0" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["read_bytes", "write", "measure_fidelity"])
def test_memory_may_run_out_before_and_after_sampling(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(job, part, lacking)
    assert browser.over(browser.send(png()))["message"] == "photo.png: not enough memory"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The model waits for this event before its first step."""
    opens, walk = threading.Event(), job.restore_picture

    def restored(*args: Any, **result_name: Any) -> Iterator[Progress[Any]]:
        assert opens.wait(60)
        yield from walk(*args, **result_name)

    monkeypatch.setattr(job, "restore_picture", restored)
    return opens


def test_jobs_run_in_order_and_know_how_many_are_ahead(browser: Browser, gate: threading.Event) -> None:
    first, second, third = (browser.send(png(), seed=seed) for seed in range(3))
    browser.until(first, "working")
    assert [browser.state(key)["ahead"] for key in (first, second, third)] == [0, 1, 2]
    assert [browser.state(key)["state"] for key in (second, third)] == ["waiting", "waiting"]
    gate.set()
    assert [browser.over(key)["state"] for key in (first, second, third)] == ["done"] * 3


def test_removed_jobs_are_not_run(browser: Browser, gate: threading.Event) -> None:
    """Running, waiting or finished: their files are deleted, and the next job runs."""
    over = browser.send(b"")
    browser.over(over)
    working, waiting, wanted = (browser.send(png(), seed=seed) for seed in range(3))
    browser.until(working, "working")
    for key in (over, working, waiting):
        assert browser.http.delete(f"/jobs/{key}").status_code == 204
    gate.set()
    assert browser.over(wanted)["state"] == "done"
    assert [browser.over(key)["state"] for key in (over, working, waiting)] == ["gone"] * 3
    assert [path.name for path in Path(browser.worker.folder.name).iterdir()] == [wanted]


def test_a_waiting_job_that_is_removed_makes_room_at_once(
    browser: Browser, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 2)
    working, waiting = browser.send(png()), browser.send(png())
    browser.until(working, "working")
    held = browser.worker.jobs[waiting]
    assert browser.http.delete(f"/jobs/{waiting}").status_code == 204
    assert (browser.state(waiting)["state"], held.folder.exists()) == ("gone", False)
    wanted = browser.send(png())
    assert browser.state(wanted)["ahead"] == 1
    gate.set()
    assert browser.over(wanted)["state"] == "done"
    assert held.state == "cancelled"


def test_uploads_are_deleted_when_the_job_is_finished(browser: Browser) -> None:
    for data in (png(), b"not a picture"):
        key = browser.send(data)
        browser.over(key)
        assert not browser.worker.jobs[key].upload.exists()


def test_cancelling_stops_sampling_at_once() -> None:
    """Between two passes of a network, not at the end of a step."""
    passed: list[int] = []
    done = job.Job("photo.png", JobSettings(), OPTIONS, Path())

    def passes(*_: object) -> None:
        passed.append(1)
        done.cancelled.set()

    handle = MODEL.model.network.register_forward_hook(passes)
    with pytest.raises(job.CancelledError):
        done.restore(MODEL, read_bytes(png(RNG.integers(0, 255, (60, 60, 3), np.uint8))))
    handle.remove()
    assert len(passed) == 1


def test_the_newest_finished_jobs_are_kept(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_FINISHED", 2)
    keys = []
    for _ in range(4):
        keys.append(browser.send(png()))
        browser.over(keys[-1])
    assert [browser.state(key)["state"] for key in keys] == ["gone", "gone", "done", "done"]
    assert {path.name for path in Path(browser.worker.folder.name).iterdir()} == set(keys[2:])


def test_the_number_of_waiting_jobs_is_limited(
    browser: Browser, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 1)
    browser.send(png())
    answer = browser.http.post("/jobs?name=b.png", content=png(), headers={"content-type": UPLOAD_TYPE})
    assert (answer.status_code, answer.json()["message"]) == (
        503,
        "b.png: 1 pictures wait already; try again later",
    )
    gate.set()


def test_no_files_are_left_behind(gate: threading.Event) -> None:
    with Worker(MODEL, OPTIONS, "tiny") as there:
        browser = Browser(there)
        browser.send(png(), steps=4)
        browser.send(png())
        gate.set()
    assert not Path(there.folder.name).exists()
    assert not there.thread.is_alive()


REFUSED: list[tuple[Callable[[TestClient], Any], int, str]] = [
    (lambda http: http.post("/jobs", content=png()), 415, f"a picture is sent as {UPLOAD_TYPE}"),
    (lambda http: http.get("/jobs/nothing"), 404, "this picture is no longer kept; send it again"),
    (lambda http: http.delete("/jobs/nothing"), 404, "this picture is no longer kept; send it again"),
    (lambda http: http.get("/nothing.html"), 404, "Not Found"),
    (lambda http: http.get("/%2e%2e/app.py"), 404, "Not Found"),
]
BAD_SETTINGS = [
    ("{", "settings: not valid JSON"),
    ('{"step": 3}', "settings: step: no such field of JobSettings; did you mean 'steps'?"),
    ('{"steps": "3"}', "settings: steps: '3' is"),
    ('{"ext": "gif"}', "settings: ext: 'gif' is not one of"),
    ('{"steps": 0}', "steps: 0 is not positive"),
    ('{"fidelity": 2}', "fidelity: 2 is not between"),
    ('{"seed": -1}', "seed: -1 is"),
]


@pytest.mark.parametrize(("asked", "status", "message"), REFUSED)
def test_bad_requests_are_refused(
    browser: Browser, asked: Callable[[TestClient], Any], status: int, message: str
) -> None:
    answer = asked(browser.http)
    assert (answer.status_code, answer.json()) == (status, {"message": message})


@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS)
def test_settings_that_make_no_sense_are_refused(browser: Browser, settings: str, message: str) -> None:
    answer = browser.http.post(
        "/jobs", params={"settings": settings}, content=png(), headers={"content-type": UPLOAD_TYPE}
    )
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


def test_a_file_that_is_too_large_is_refused(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_UPLOAD_BYTES", 2**20)
    sent = {"params": {"name": "a.png"}, "headers": {"content-type": UPLOAD_TYPE}}
    answer = browser.http.post("/jobs", content=bytes(2**20 + 1), **sent)
    assert (answer.status_code, answer.json()["message"]) == (413, "a.png: at most 1 MiB can be sent")
    assert there(browser.worker) == []
    assert browser.http.post("/jobs", content=bytes(2**20), **sent).status_code == 201


def there(worker: Worker) -> list[Path]:
    return list(Path(worker.folder.name).iterdir())


def test_an_upload_is_streamed_to_disk_and_deleted_if_aborted(browser: Browser) -> None:
    """An upload of 32 MiB, of which at most a tenth is in memory."""
    parts, sizes, answers = iter(range(32)), list[int](), list[Any]()

    async def receive() -> dict[str, Any]:
        if next(parts, None) is not None:
            return {"type": "http.request", "body": bytes(2**20), "more_body": True}
        sizes.extend(path.stat().st_size for path in there(browser.worker))
        sizes.append(tracemalloc.get_traced_memory()[1])
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", UPLOAD_TYPE.encode())]
    scope = {"type": "http", "method": "POST", "path": "/jobs", "query_string": b"", "headers": headers}
    tracemalloc.start()
    asyncio.run(browser.http.app(scope, receive, send))
    tracemalloc.stop()
    size, peak = sizes
    assert size == 32 * 2**20
    assert peak < size / 10
    assert answers[0]["status"] == 400
    assert there(browser.worker) == []


def test_an_unwritable_disk_is_an_error_message(browser: Browser) -> None:
    browser.worker.folder.cleanup()
    answer = browser.http.post("/jobs?name=a.png", content=png(), headers={"content-type": UPLOAD_TYPE})
    message = "a.png: cannot be written: No such file or directory"
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_pages_of_other_sites_are_refused(browser: Browser) -> None:
    """Neither by DNS rebinding, nor by a form, which cannot send `UPLOAD_TYPE` without a CORS preflight."""
    assert browser.http.get("/model", headers={"host": "elsewhere.example"}).status_code == 400
    asked = {"origin": "http://elsewhere.example", "access-control-request-method": "POST"}
    answer = browser.http.options("/jobs", headers=asked)
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_every_response_has_the_security_headers(browser: Browser) -> None:
    for path in ("/", "/page.js", "/model", "/jobs/nothing"):
        policy = browser.http.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "http" not in policy


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("cat.jpg", "cat-x4.png"),
        ("../../etc/passwd", "passwd-x4.png"),
        ("C:\\photos\\cat.jpg", "cat-x4.png"),
        ("日本 é.webp", "日本 é-x4.png"),
        ('a<b>:"|?*\n\x00.png', "ab-x4.png"),
        ("", "picture-x4.png"),
        ("..", "picture-x4.png"),
        ("/", "picture-x4.png"),
        ("\udcff.png", "picture-x4.png"),
    ],
)
def test_results_have_plain_names(name: str, result: str) -> None:
    assert result_name(name, 4, "png") == result


def test_no_name_is_too_long_for_a_file_system(tmp_path: Path) -> None:
    for letter in "a日😀":
        (tmp_path / result_name(letter * 300 + ".png", 16, "tiff")).write_bytes(b"")


@pytest.mark.parametrize(("model", "shut"), [(MODEL, set()), (stage(plain(1)), {"consistent"})])
def test_only_settings_that_the_model_supports_are_adjustable(model: Stage, shut: set[str]) -> None:
    with Worker(model, OPTIONS, "tiny") as there:
        said = Browser(there).http.get("/model").json()
    adjustable = {name: name not in shut for name in ("steps", "consistent", "fidelity", "orientations")}
    assert said == {"name": "tiny", "scale": model.scale, "steps": model.steps, "adjustable": adjustable}


def test_the_page_refers_only_to_what_exists() -> None:
    """It names no file but its own; its script asks for elements and for settings that there are."""
    html, script = ((PAGE / name).read_text(encoding="utf-8") for name in ("index.html", "page.js"))
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', html)) == {"data:,", "page.css", "page.js"}
    assert "//" not in html.replace("<!doctype html>", "")
    assert not re.findall(r"https?:", script)
    ids = set(re.findall(r'id="(\w+)"', html))
    assert set(re.findall(r'byId\("(\w+)"\)', script)) <= ids
    asked = set(re.findall(r'<(?:select|input) name="(\w+)"', html))
    assert asked == {field.name for field in fields(JobSettings)}
    read = re.search(r"PARSERS = \{(.*)\}", script)
    assert read is not None
    assert set(re.findall(r"(\w+): [A-Z(]", read[1])) == asked
    shown = set(re.findall(r'data-setting="(\w+)"', html))
    assert shown == {"steps", "consistent", "fidelity", "orientations"}


def test_photo_and_result_do_not_overlap() -> None:
    """Transparent pictures would show both: each is clipped where the other begins."""
    css = (PAGE / "page.css").read_text(encoding="utf-8")
    found = re.findall(r"#(before|after) \{ clip-path: inset\(-1px (.+) -1px (.+)\); \}", css)
    insets = {name: (right, left) for name, right, left in found}
    assert insets == {"before": ("calc(100% - var(--at))", "0"), "after": ("0", "var(--at)")}


def test_the_page_works_with_keyboard_and_screen_reader() -> None:
    """An arrow key moves the line by more than a pixel; each finished photo is announced in one line."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    (slider,) = re.findall(r'<input id="split"[^>]*>', html)
    assert 'step="any"' in slider  # an arrow moves it by a hundredth then, and a mouse as it likes
    assert re.search(r'<div id="frame" tabindex="0"', html)
    live = re.findall(r'id="(\w+)"[^>]* (?:role="status"|aria-live)', html)
    assert live == ["summary", "warning", "news"]
    assert len(re.findall(r'role="status"|aria-live', html)) == len(live)


def test_weights_are_not_changed_by_work(browser: Browser) -> None:
    before = {name: value.clone() for name, value in MODEL.model.state_dict().items()}
    browser.over(browser.send(png()))
    assert all(torch.equal(value, before[name]) for name, value in MODEL.model.state_dict().items())


def test_values_in_units_are_shown_by_their_span_and_saved_as_they_are() -> None:
    method = replace(packed(2, 1), span=Span((0.0,), (10000.0,)))
    rows = np.linspace(1000, 9000, 12).round().astype(np.uint16)
    values = np.broadcast_to(rows[:, None], (12, 10)).copy()
    with Worker(stage(method), OPTIONS, "tiny") as there:
        browser = Browser(there)
        key = browser.send(png(values), name="field.png")
        assert browser.over(key)["state"] == "done"
        result, before, after = (
            opened(browser.fetched(f"/jobs/{key}/{name}")).astype(float)
            for name in ("result", "before", "after")
        )
    assert abs(result.mean() - 5000) < 100
    np.testing.assert_allclose(before, values / 10000 * 255, atol=0.501)
    np.testing.assert_allclose(after, result / 10000 * 255, atol=0.501)
