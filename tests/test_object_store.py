"""Images of an S3 store, by moto's server: what comes out is what comes out of a folder, and no key is ever shown."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import image_store
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from dask_cluster import Cluster

from cvkit import cli
from cvkit.data import engine, file_sums, isolation, measured
from cvkit.data.objects import Captures

pytest.importorskip("s3fs", reason="s3:// needs s3fs")
server = pytest.importorskip("moto.server", reason="moto's server is the store")
boto3 = pytest.importorskip("boto3", reason="fills the store")

KEY, SECRET = "AKIAPLANTEDKEY", "planted-secret-word"
TESTED = "s3://plant/captures/{source}/{date}/*.jpg"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred images of three cameras: one is cut short, one empty."""
    folder = image_store.fill(tmp_path_factory.mktemp("captures"), ("cam-1", "cam-2", "hall 3ö"), days=5, each=20)
    cut, nothing = folder / "cam-1/2026-11-01/003.jpg", folder / "cam-1/2026-11-01/004.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    nothing.write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def bucket(captures: Path) -> Iterator[Any]:
    """The same images in a bucket, with the address and the keys in the environment, where s3fs looks for them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET),
                            ("AWS_DEFAULT_REGION", "us-east-1"), ("no_proxy", "127.0.0.1")):  # fmt: skip
            patch.setenv(name, value)
        patch.setattr(logging.getLogger("werkzeug"), "disabled", True)  # a line for each request
        running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        isolation.end_idle()  # processes of other tests know of no such store
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*running.get_host_and_port()))
        client = boto3.client("s3")
        client.create_bucket(Bucket="plant")
        for path in sorted(captures.rglob("*.jpg")):
            client.put_object(Bucket="plant", Key=f"captures/{path.relative_to(captures)}", Body=path.read_bytes())
        yield client
        isolation.end_idle()
        running.stop()


def objects(client: Any, below: str) -> dict[str, bytes]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="plant", Prefix=f"{below}/")
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return {key.removeprefix(f"{below}/"): client.get_object(Bucket="plant", Key=key)["Body"].read() for key in keys}


def of_images_alone(files: dict[str, bytes]) -> dict[str, list[bytes]]:
    """Files without their sums, and the digest of ETags or times of change, which are not those of a folder."""
    readers = {"parquet": lambda content: pq.read_table(io.BytesIO(content)),
               "arrow": lambda content: pa.ipc.open_file(content).read_all()}  # fmt: skip
    found = {}
    for name, content in files.items():
        table = readers[name.rpartition(".")[2]](content)
        named = table.replace_schema_metadata({**table.schema.metadata, measured.DIGEST: b"", file_sums.KEY: b""})
        found[name] = [
            named.schema.serialize().to_pybytes(),
            *(one.serialize().to_pybytes() for one in named.to_batches()),
        ]
    return found


def line(images: str, out: str, workers: int) -> list[str]:
    return ["images", "measure", "--images", images, "--out", out, "--workers", str(workers)]


def test_a_bucket_and_a_folder_give_the_same(
    bucket: Any, captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = f"{captures}/{image_store.PATTERN}"
    assert cli.main(line(folder, str(tmp_path / "folder"), 2)) == 0
    own = image_store.files(tmp_path / "folder")
    for workers in (1, 2):
        assert cli.main(line(TESTED, f"s3://plant/by-{workers}/deep", workers)) == 0
        assert cli.main(line(TESTED, str(tmp_path / f"from-{workers}"), workers)) == 0
        assert cli.main(line(folder, f"s3://plant/to-{workers}", workers)) == 0
        assert objects(bucket, f"by-{workers}/deep") == objects(bucket, "by-1/deep")
        assert image_store.files(tmp_path / f"from-{workers}") == objects(bucket, "by-1/deep")
        assert objects(bucket, f"to-{workers}") == own
    assert of_images_alone(objects(bucket, "by-1/deep")) == of_images_alone(own)
    capsys.readouterr()
    said = []
    for out in (str(tmp_path / "folder"), "s3://plant/by-1/deep"):
        against = ["--from", "2026-11-03", "--against", "2026-11-01..2026-11-03"]
        assert cli.main(["images", "summary", "--out", out, "--by", "source", *against]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "hall 3ö" in said[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_repeated_it_writes_the_same_objects(bucket: Any, captures: Path, workers: int) -> None:
    out = f"killed-{workers}"
    command = [sys.executable, "-m", "cvkit.cli", *line(TESTED, f"s3://plant/{out}", workers)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (there := objects(bucket, out)) and running.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert there, "nothing was written in a minute"
    assert cli.main(line(TESTED, f"s3://plant/{out}", workers)) == 0
    assert cli.main(line(TESTED, "s3://plant/whole", workers)) == 0
    assert objects(bucket, out) == objects(bucket, "whole")


def test_what_came_since_is_seen_by_the_same_process(bucket: Any, captures: Path) -> None:
    def measure() -> measured.Outcome:
        return measured.measure(Captures(TESTED.replace("captures", "late")), measured.open_out("s3://plant/late-out"))

    picture = (captures / "cam-2/2026-11-01/001.jpg").read_bytes()
    counts = []
    for number in range(3):
        bucket.put_object(Bucket="plant", Key=f"late/cam-1/2026-11-01/{number}.jpg", Body=picture)
        counts += [measure().images, measure().images]
    assert counts == [1, 0, 2, 0, 3, 0]


def test_no_key_is_shown_where_a_store_is_not_there(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line(TESTED, "s3://none/out", 1)) == 6
    assert cli.main(line(TESTED.replace("plant", "none"), str(tmp_path), 1)) == 3
    assert cli.main(["images", "summary", "--out", "s3://plant/none"]) == 3
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{KEY}:{SECRET}@127.0.0.1:9")
    told = subprocess.run([sys.executable, "-m", "cvkit.cli", *line(TESTED, str(tmp_path), 1)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert told.returncode == 3
    assert "the store of the images does not answer" in told.stderr
    shown = "".join([*capsys.readouterr(), told.stdout, told.stderr])
    assert "nothing is there" in shown
    assert not [word for word in (KEY, SECRET) if word in shown]


def test_a_cluster_writes_the_same_objects(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra")
    monkeypatch.setattr(engine, "CONNECT_S", 120.0)  # a busy machine is no fault of the code
    cluster, amid = Cluster(tmp_path), list[int]()

    def lose(worker: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 120
        while not (there := objects(bucket, "by-dask")) and time.monotonic() < until:
            time.sleep(0.02)
        worker.kill()
        amid.append(len(there))

    try:
        ending = threading.Thread(target=lose, args=[cluster.add()])
        cluster.add()
        ending.start()
        assert cli.main([*line(TESTED, "s3://plant/by-dask", 1), "--engine", cluster.address]) == 0
        ending.join()
    finally:
        cluster.end()
    assert 0 < amid[0] < len(objects(bucket, "by-dask")), "a worker was lost amid the work"
    assert cli.main(line(TESTED, "s3://plant/by-one", 1)) == 0
    assert objects(bucket, "by-dask") == objects(bucket, "by-one")


@pytest.mark.parametrize(
    ("denied", "code", "words"),
    [
        ("ListBucket", 3, "Access Denied"),
        ("GetObject", 3, "did not come from the store"),
        ("PutObject", 6, "does not take"),
    ],
)
def test_what_is_denied_is_told_and_done_once_it_is_granted(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str, code: int, words: str
) -> None:
    iam, address, user = boto3.client("iam"), os.environ["AWS_ENDPOINT_URL"], f"without-{denied}"
    command = line(TESTED, "s3://plant/denied" if denied == "PutObject" else str(tmp_path), 1)
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    rights = [f"s3:{action}" for action in ("ListBucket", "GetObject", "HeadObject", "PutObject") if action != denied]
    statement = {"Effect": "Allow", "Action": rights, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=policy)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        requests.post(f"{address}/moto-api/reset-auth", data="0", timeout=10)  # rights count from now on
        try:
            done = subprocess.run([sys.executable, "-m", "cvkit.cli", *command], capture_output=True, text=True,
                                  timeout=300, check=False)  # fmt: skip
        finally:
            requests.post(f"{address}/moto-api/reset-auth", data="inf", timeout=10)
    said = done.stdout + done.stderr
    assert (done.returncode, words in said) == (code, True), said
    assert key["SecretAccessKey"] not in said
    assert cli.main(command) == 0
    assert cli.main(line(TESTED, "s3://plant/granted", 1)) == 0
    made = objects(bucket, "denied") if denied == "PutObject" else image_store.files(tmp_path)
    assert made == objects(bucket, "granted")
