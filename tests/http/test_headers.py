from fastapi.testclient import TestClient

LIST = "/api/v1/erasure-requests"


def test_every_answer_says_that_its_type_is_what_it_says_and_that_no_cache_may_keep_it(
    api: TestClient,
) -> None:
    answers = [
        api.get(LIST),
        api.get(LIST, headers={"Authorization": "Bearer lot_x"}),
        api.get("/livez"),
        api.get("/nowhere"),
        api.post(LIST, content=b"{"),
        api.post(LIST, content=b"[" * 100 + b"]" * 100),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 200, 404, 422, 400]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers.get_list("Cache-Control") == ["no-store"]
