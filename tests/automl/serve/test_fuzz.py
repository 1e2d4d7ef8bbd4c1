"""Schemathesis makes requests from the server's own description: none may end in a fault of the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.automl.serve.made import server

EXAMPLES = 15


@pytest.mark.parametrize(
    "kind", ["table", *(pytest.param(k, marks=pytest.mark.slow) for k in ("image", "series", "text"))]
)
def test_no_request_is_a_fault(bundle: Callable[[str], Path], kind: str) -> None:
    app = server(bundle(kind))
    api = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})
    for found in api.get_all_operations():
        operation = found.ok()

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            reply = case.call(headers={"Host": "127.0.0.1"})
            case.validate_response(reply, checks=[not_a_server_error, status_code_conformance])
            assert "Traceback" not in reply.text and str(bundle(kind)) not in reply.text

        check()
