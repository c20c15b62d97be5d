"""Tests of the JSON log format."""

import json
import logging
import sys

from {{cookiecutter.project_slug}}.api.logs import (
    JsonFormatter,
    RequestContext,
    request_context,
)


def test_a_record_is_one_line_of_json() -> None:
    record = logging.makeLogRecord(
        {
            "name": "shop",
            "levelname": "INFO",
            "msg": 'sold %d\n"tea"',
            "args": (2,),
            "price": 3.5,
        }
    )
    token = request_context.set(RequestContext("abc"))
    try:
        text = JsonFormatter().format(record)
    finally:
        request_context.reset(token)
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


def test_an_exception_has_its_traceback() -> None:
    try:
        raise ValueError("something went wrong")
    except ValueError:
        record = logging.makeLogRecord({"exc_info": sys.exc_info()})
    line = json.loads(JsonFormatter().format(record))
    assert line["traceback"].startswith("Traceback")
    assert "ValueError: something went wrong" in line["traceback"]
    assert "request_id" not in line
