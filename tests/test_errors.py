"""Errors: what they say of addresses, whoever raises them."""

from __future__ import annotations

import pytest

from cvkit.errors import DataError


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://u:SECRET@host:9/a/{source}/*.jpg", "http://host:9/a/{source}/*.jpg"),
        ("s3://KEY:SECRET@bucket/x?sig=SECRET&b=SECRET", "s3://bucket/x"),
        ("/work/s3:/KEY:SECRET@bucket/{date}/?.jpg", "/work/s3:/bucket/{date}/?.jpg"),
        ("tcp://SECRET@host:8786, ftp://u:SECRET@b/c", "tcp://host:8786, ftp://b/c"),
        ("s3://bucket/cam-?/{date}", "s3://bucket/cam-?/{date}"),
        ("http://u:p@SECRET@host/a?token=SECRET", "http://host/a"),
        ("mysql://u:SECRET/SECRET?SECRET@host/a", "mysql://host/a"),
        ("s3://bucket/retina@2x/a.jpg", "s3://bucket/retina@2x/a.jpg"),
        ("tcp://host:8786", "tcp://host:8786"),
        ("captures: /data/a@b/x?y=1", "captures: /data/a@b/x?y=1"),
    ],
)
def test_no_part_of_an_error_shows_who_asks(address: str, shown: str) -> None:
    error = DataError(f"no {address}", where=address, expected=address, found=address, remedy=address)
    assert (error.where, error.expected, error.found, error.remedy) == (shown,) * 4
    assert error.problem == f"no {shown}"
    assert "SECRET" not in str(error)
