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
        api.post(LIST, content=b"{", headers={"Content-Type": "application/json"}),
        api.post(LIST, content=b"[" * 100 + b"]" * 100),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 200, 404, 415, 400, 400]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers.get_list("Cache-Control") == ["no-store"]
        assert answer.headers.get_list("Content-Security-Policy") == [
            "default-src 'none'; frame-ancestors 'none'"
        ]
        # Nor does a page of another origin get at them as a picture or a script, cookie and all.
        assert answer.headers.get_list("Cross-Origin-Resource-Policy") == ["same-origin"]


def test_no_answer_sends_a_caller_to_a_host_that_the_call_named(api: TestClient) -> None:
    answer = api.get("/api/v1/models/", headers={"Host": "evil.example"}, follow_redirects=False)
    assert answer.status_code == 404
    assert "Location" not in answer.headers and "evil" not in answer.text
