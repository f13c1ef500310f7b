"""A project's own middleware that knows who asks, and says so."""

from headgate.instrumentation import identify


def middleware(get_response):
    def handle(request):
        identify(request.headers.get("X-Account"))
        return get_response(request)

    return handle
