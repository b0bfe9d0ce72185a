"""Whatever is sent to a path of the OpenAPI document breaks nothing: answers are those of RFC 9457, never a 5xx of ours."""

import schemathesis
from hypothesis import HealthCheck, given, settings

ENDLESS = "/v1/events"
SETTINGS = settings(
    max_examples=30, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def test_no_request_breaks_the_controller(world):
    schema = schemathesis.openapi.from_url(f"{world.controller.address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    paths = {(operation.method.upper(), operation.path) for operation in operations}
    assert {("POST", "/v1/experiments"), ("PUT", "/v1/registry/{service}/{name}")} <= paths
    for operation in operations:
        if operation.path == ENDLESS:
            continue

        @SETTINGS
        @given(case=operation.as_strategy())
        def breaks_nothing(case):
            if isinstance((case.query or {}).get("waitSeconds"), int | float):
                case.query["waitSeconds"] = 0.01  # a long one is answered as well, but late
            answer = case.call(timeout=40)
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert answer.headers["content-type"][0] == "application/problem+json"

        breaks_nothing()
    assert world.experiments.all() == []
