"""What fuzzing begins with: small files as each reader expects them, made here."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import cvkit
from cvkit.config.champion import Champions, Promotion, text
from cvkit.config.sections import ReferenceSettings
from cvkit.data import file_sums, partition_files, summed
from cvkit.tables import LABEL_PLAN, conform

UNSEALED = file_sums.place(b"seed")  # in place of the sum of a file that has one
NEXT = b"\n%%%%\n"  # between the files of a folder that came back
RETURNED = ("plan.csv", "classes.txt", "labels/a.txt", "data.yaml", "instances.json")
DICTIONARY = (  # words that mean something to one reader or another
    b"nan", b"inf", b"-1", b"1e308", b"1e400", b"0x" + b"f" * 40, b"9" * 30, b"null", b"true", b"{}", b"[]", b'""',
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"\r", b"\n", b"../", b"/", b"*", b"**", b"&a ",
    b"*a", b"<<: ", b"!!int ", b"!!timestamp ", b"- ", b": ", b'"\\0"', b'"\\ud800"', b"<!--", b"-->", b"---\n",
    b"<!DOCTYPE", b"[" * 400, b'{"a":' * 400, b"2026-02-31", b"23:59", b"{source}", b"{date}", b"{a,b}", b"\\",
)  # fmt: skip


def images() -> list[bytes]:
    """A picture in each format, turned and dated where the format can say so."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    picture, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2026:10:01 06:00:00"
    exif.get_ifd(0x8769)[0x9003] = "2026:10:01 06:00:00"
    found = []
    for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000"):
        for mode in ("RGB", "L"):
            file = io.BytesIO()
            picture.convert(mode).save(file, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
            found.append(file.getvalue())
    return found


def yolo() -> list[bytes]:
    """Labels, predictions and a polygon."""
    return [b"0 .5 .5 .2 .2\n1 .1 .1 .1 .1\n", b"0 .5 .5 .2 .2 .9 3\n", b"bolt 0 0 .5 0 .5 .5\n", b"3.0 1 1 .1 .1 1\n"]


def voc() -> list[bytes]:
    """An annotation, also in another encoding and with entities that grow."""
    one = "<annotation><filename>a.jpg</filename><object><name>nut</name><difficult>1</difficult><bndbox>" \
        "<xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"  # fmt: skip
    grows = '<!DOCTYPE a [<!ENTITY b "cccc"><!ENTITY d "&b;&b;&b;">]>' + one.replace("nut", "&d;")
    latin = b'<?xml version="1.0" encoding="latin-1"?>' + one.encode()
    return [one.encode(), latin, grows.encode(), grows.encode("utf-16"), one.encode("utf-16")]


def coco_json() -> dict[str, Any]:
    """One image, one category, boxes of all sorts."""
    box = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 30, 20], "iscrowd": 0}
    more = [box | {"iscrowd": 1}, box | {"ignore": 1}, box | {"bbox": [1, 2, 1e400, -1]}, box | {"image_id": "x"}]
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": "x", "file_name": "b.jpg"}]
    return {"images": images, "categories": [{"id": 7, "name": "nut"}], "annotations": [box, *more]}


def coco() -> list[bytes]:
    """A file of it."""
    return [json.dumps(coco_json()).encode(), b'{"images": []}', b'{"images": [1], "annotations": [{}]}']


def jsonl() -> list[bytes]:
    """An image with boxes and one without."""
    box = {"xyxy": [1, 2, 30, 40], "class_id": 0, "confidence": 0.9}
    lines = [{"image": "a.jpg", "boxes": [box, box | {"class": "nut"}]}, {"image_id": "b.jpg", "boxes": []}]
    numbers = {"image": "a.jpg", "boxes": [box | {"class_id": 10**20}, box | {"class_id": -0.5}, {"xyxy": 3}]}
    return ["\n".join(map(json.dumps, lines)).encode(), json.dumps(numbers).encode()]


def _parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="none", **options)
    return file.getvalue()


def parquet() -> list[bytes]:
    """Predictions by id and by name, plain and with a dictionary."""
    rows = {"image": ["a.jpg", "a.jpg", "b.jpg"], "class_id": [0, 1, None], "confidence": [0.5, 0.9, None]}
    table = pa.table(rows | {name: [1.0, 2.0, None] for name in ("x1", "y1")} | {"x2": [9, 9, 9], "y2": [9, 9, 9]})
    named = table.set_column(1, "class", pa.array(["nut", "bolt", None]))
    return [_parquet(table), _parquet(named, use_dictionary=False), _parquet(named, write_statistics=False)]


def summaries() -> list[bytes]:
    """What is kept of measured images: of a few, of none that can be read."""
    values = np.random.default_rng(0).normal(size=(len(summed.NUMBERS), 9)).round(1)
    made = []
    for numbers in (values, values[:, :1], np.full((len(summed.NUMBERS), 2), np.nan)):
        rows = dict(zip(summed.NUMBERS, map(pa.array, numbers), strict=True))
        names = {name: [("", "RGB")[i % 2] for i in range(numbers.shape[1])] for name in summed.NAMES}
        name = f"{summed.FOLDER}/source=cam-1/date=2026-10-01/{summed.FILE}".encode()
        about = {b"cvkit.images": b"0" * 32, partition_files.NAME: name, file_sums.KEY: UNSEALED}
        table = summed.of_rows(pa.table(rows | names)).replace_schema_metadata(about)
        made += [partition_files._arrow(table), _plain(table)]
    return made


def _plain(table: pa.Table) -> bytes:
    content = io.BytesIO()
    with pa.ipc.new_file(content, table.schema) as file:
        file.write_table(table)
    return content.getvalue()


def recorded() -> list[bytes]:
    """What a recorder writes."""
    with tempfile.TemporaryDirectory() as place:
        noon = datetime(2026, 10, 1, 12, tzinfo=UTC)
        with cvkit.Recorder(place, "cam-1", classes=["nut", "bolt"], frames_per_hour=0) as recorder:
            recorder.record([[1, 2, 30, 40, 0.8, 0]], time=noon, size=(64, 48))
            recorder.record([], time=noon, image_id="captures/cam-1/2026-10-01/a.jpg")
        made = [file.read_bytes() for file in Path(place).rglob("*.parquet")]
    told = [pq.read_metadata(pa.BufferReader(content)).metadata[file_sums.KEY] for content in made]
    return [content.replace(one, UNSEALED) for content, one in zip(made, told, strict=True)]


def counters() -> list[bytes]:
    """What processes leave behind: records lost, records dropped, and names that lead elsewhere."""
    about = [{"source": "cam-1", "process": name} for name in ("20261001T000000-1-abcdef", "../x", "**", "/")]
    states = [(5, 3, 1, 3, 0, 0, 1_790_000_000_000_000), (5, 5, 1, 5, 2, 1, 0), (1, 0, 0, 0, 0, 0, 2**62)]
    return [struct.pack("<7q", *state) + json.dumps(one).encode() for state in states for one in about]


def plans() -> list[bytes]:
    """A plan whose first image was drawn."""
    rows = pd.DataFrame(
        {"image_id": ["captures/cam-1/2026-10-01/a.jpg", "x"], "source": "cam-1", "stratum": 0, "score": 0.5,
         "time": pd.Timestamp("2026-10-01", tz="UTC"), "spread": 0.1, "probability": 0.5, "drawn": [True, False],
         "weight": 2.0, "reason": "", "file": "a.jpg"}
    )  # fmt: skip
    return [_parquet(pa.Table.from_pandas(conform(rows, LABEL_PLAN), preserve_index=False))]


def returned() -> list[bytes]:
    """Folders with labels as text, and as COCO."""
    plan = b"file,image_id,width,height\na.jpg,one/a.jpg,64,48\nb.jpg,one/b.jpg,64,48\n"
    content = coco_json()
    content["annotations"] = content["annotations"][:2]
    return [
        NEXT.join([plan, b"nut\nbolt\n", b"0 .5 .5 .2 .2 7\n1 0 0 .5 0 .5 .5\n"]),
        NEXT.join([plan, b"", b"0 .5 .5 .2 .2\n", b"names: {0: nut}\n"]),
        NEXT.join([plan, b"", b"", b"", json.dumps(content).encode()]),
    ]


def config() -> list[bytes]:
    """Settings with some of each section."""
    given = b'model: {name: m, classes: [nut]}\ncaptures:\n  images: "captures/{source}/{date}/*.jpg"\n'
    given += b"  time_zone: Europe/Berlin\nreference: {start: 2026-09-01, end: 2026-09-05}\nwindow_hours: 12\n"
    more = b"schedule:\n  - {name: daily, notebook: reports/01-data-quality.ipynb, cron: '0 6 * * *'}\n"
    alerts = b"alerts: {repeat_hours: 2.5, channels: [{name: a, kind: slack, secret: 'env:X'}]}\nsite: {title: x}\n"
    return [given, given + more, given + alerts, b"reference: &a {data: data.yaml}\nmodel: {<<: *a}\n"]


def rules() -> list[bytes]:
    """Rules of each kind."""
    return [
        b"    - {name: a, metric: drift, state: warning, for: 2}\n",
        b"    - {name: b, metric: brightness.mean, above: 10.5, sources: ['cam-*'], owner: x}\n",
        b"    - {name: c, metric: images, missing: true}\n    - {name: d, metric: brightness, change: .2}\n",
        b"    - {name: e, metric: any, state: unknown}\n    - {name: f, metric: runs, missing: true}\n",
    ]


def past(file: Path, history: Any, measured: Any, day: Any, conditions: Any) -> Any:
    """Two windows of verdicts and numbers, as rules look at them."""
    verdict = {"source": "cam-1", "rule": "drift", "feature": "brightness", "reason": "words"}
    number = {"source": "cam-1", "feature": "brightness", "metric": "mean", "n": 50}
    with history.open(f"sqlite:///{file}") as opened:
        for place, state in enumerate(("ok", "critical")):
            measured(opened, place, [verdict | {"state": state}], [number | {"value": 8.0 * place, "expected": 9.0}])
        return conditions.Past(opened.verdicts(), opened.measurements(), opened.runs())


def champion() -> list[bytes]:
    """A promotion with a reference of its own."""
    settings = ReferenceSettings(data="data.yaml")
    when = datetime(2026, 10, 1, tzinfo=UTC)
    one = Promotion("0123456789ab", "promoted", "me", "better", when, reference=settings)
    return [text(Champions("m.pt", settings, (one,))).encode()]


def patterns() -> list[bytes]:
    """A pattern, and the name of a file below it."""
    return [
        b"captures/{source}/{date}/*.jpg\ncaptures/cam/2026-10-01/a.jpg", b"**/{source}_{time}.{jpg,png}\ncam_06.jpg",
        b"a*a*a*a*a*a*a*b\n" + b"a" * 60, b"{source}/{source}\ncam/cam", b"/\n/", b"~/x\n",
    ]  # fmt: skip


def data_yaml() -> list[bytes]:
    """As people write it."""
    return [
        b"path: .\ntrain: images\nval: [images, list.txt]\nnames: [nut, bolt]\n", b"nc: 3\nval: images\n",
        b"names: {0: nut, 1: bolt}\ntest: ../images\n", b"a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]\n",
        b'names: ["\\ud800"]\nval: "a\\0b"\n', b"names: {.inf: a}\n", b"names: [0xfff]\nd: !!timestamp 2026-01-01\n",
    ]  # fmt: skip


def moments() -> list[bytes]:
    """Times and lengths."""
    return [b"2026-11-21", b"2026-11-21T06:00+02:00", b"36h", b"2w", b"1900-01-01", b"20261121T0600Z"]


def documents() -> list[bytes]:
    """Facts, words of people, and what is left to do."""
    told = b"<!-- facts: a 01234567 -->\nx\n<!-- /facts -->\n<!-- people: b -->\n<!-- guide: y -->\nTo do: z\n"
    told += b"<!-- /people -->\n"
    return [told, b"---\na: b\n---\n<!-- front matter: 01234567 -->\n" + told, b"<!-- facts: a -->\n" + told.lower()]


def front_matter() -> list[bytes]:
    """A card for the Hub."""
    return [
        b"---\nlicense: mit\ntags: [a, b]\nmodel-index:\n- name: x\n  results: []\n---\n# Card\n",
        b"---\nwhen: 2026-10-01\n1: .nan\nx: !!binary aGk=\n---\n", b"---\nmodel-index: &a [{1: x, a: *b}]\n---\n",
    ]  # fmt: skip


def notebooks() -> list[bytes]:
    """Cells and outputs of each kind."""
    data: Mapping[str, Any] = {"text/html": "<table><tr><td onclick='x'>1</td></tr></table>", "text/plain": "1"}
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": data},
        {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": ["# a\n", "<script>x</script>"]}},
        {"output_type": "stream", "name": "stdout", "text": "a\n"},
        {"output_type": "error", "ename": "E", "evalue": "x", "traceback": ["\u001b[31ma"]},
    ]
    code = {"cell_type": "code", "source": "1", "metadata": {}, "execution_count": 1, "outputs": outputs}
    words = {"cell_type": "markdown", "metadata": {}, "source": "# Title\n\n| a |\n|---|\n| [x](javascript:y) |\n"}
    cells = [words, code, words | {"source": "## <b>x</b>\n![a](attachment:a.png)", "attachments": {"a.png": {}}}]
    return [json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}).encode()]
