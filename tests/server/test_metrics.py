"""Metrics of the server: a registry for each app, values that are read when asked for, and no ids in labels."""

from genre_gen.server.metrics import Metrics, Reading


def lines(metrics):
    return [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]


def test_requests_are_counted_by_route_and_status():
    metrics = Metrics()
    for seconds in (0.004, 0.3):
        metrics.request("/v1/{domain}/recommend", "POST", 200, seconds)
    metrics.request("/v1/{domain}/stream", "GET", 200, None)
    metrics.request("unmatched", "BREW", 404, 0.1)
    text = metrics.text().decode()
    assert 'genre_requests_total{method="POST",route="/v1/{domain}/recommend",status="200"} 2.0' in text
    assert 'genre_requests_total{method="other",route="unmatched",status="404"} 1.0' in text
    assert 'genre_request_seconds_count{route="/v1/{domain}/recommend"} 2.0' in text
    assert 'genre_request_seconds_bucket{le="0.005",route="/v1/{domain}/recommend"} 1.0' in text
    assert 'genre_request_seconds_count{route="/v1/{domain}/stream"}' not in text


def test_stages_batches_events_and_freshness_are_observed():
    metrics = Metrics()
    metrics.stage("model", 0.01)
    metrics.batch("fast", 7)
    metrics.events("movies", accepted=3, duplicate=1)
    metrics.freshness(0.02)
    text = metrics.text().decode()
    for line in (
        'genre_stage_seconds_count{stage="model"} 1.0',
        'genre_batch_size_bucket{lane="fast",le="8.0"} 1.0',
        'genre_batch_size_bucket{lane="fast",le="4.0"} 0.0',
        'genre_events_total{domain="movies",outcome="accepted"} 3.0',
        'genre_events_total{domain="movies",outcome="duplicate"} 1.0',
        "genre_freshness_seconds_count 1.0",
    ):
        assert line in text, line


def test_values_are_read_when_asked_for_and_each_app_has_its_own():
    metrics, other, length = Metrics(), Metrics(), [3.0]

    def read():
        yield Reading("queue_length", "Waiting requests.", length[0], (("lane", "fast"),))
        yield Reading("queue_length", "Waiting requests.", 1, (("lane", "slow"),))
        yield Reading("commits", "Commits.", 8, counts=True)

    metrics.watch(read)
    assert 'genre_queue_length{lane="fast"} 3.0' in lines(metrics)
    length[0] = 5.0
    assert 'genre_queue_length{lane="fast"} 5.0' in lines(metrics)
    assert "genre_commits_total 8.0" in lines(metrics)
    assert not any("genre_queue" in line for line in lines(other))
    assert any(line.startswith("process_resident_memory_bytes") for line in lines(other))
