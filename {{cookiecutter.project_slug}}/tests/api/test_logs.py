"""Tests of how logs are written."""

import json
import logging
import sys

from {{cookiecutter.project_slug}}.api.logs import (
    Call,
    JsonFormatter,
    current,
)


def test_a_record_is_one_line_of_json_with_what_it_carries() -> None:
    record = logging.makeLogRecord(
        {
            "name": "shop",
            "levelname": "INFO",
            "msg": 'sold %d\n"tea"',
            "args": (2,),
            "price": 3.5,
        }
    )
    token = current.set(Call("abc"))
    try:
        text = JsonFormatter().format(record)
    finally:
        current.reset(token)
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "shop",
        "message": 'sold 2\n"tea"',
        "request_id": "abc",
        "price": 3.5,
    }


def test_an_error_carries_its_traceback() -> None:
    try:
        raise ValueError("what went wrong")
    except ValueError:
        record = logging.makeLogRecord({"exc_info": sys.exc_info()})
    line = json.loads(JsonFormatter().format(record))
    assert line["traceback"].startswith("Traceback")
    assert "ValueError: what went wrong" in line["traceback"]
    assert "request_id" not in line
