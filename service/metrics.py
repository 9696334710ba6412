"""Requests by route template and status, in prometheus-client's default registry."""

from prometheus_client import Counter, Histogram

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_REQUESTS = Counter("inapp_http_requests", "Requests answered", ["method", "route", "status"])
_SECONDS = Histogram("inapp_http_request_seconds", "Time from the request's head to the answer's end", ["route"])


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """`route` is a template such as /api/v1/events, never a path as it came: labels stay few."""
    _REQUESTS.labels(method if method in _METHODS else "other", route, str(status)).inc()
    _SECONDS.labels(route).observe(seconds)
