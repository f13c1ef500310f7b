"""The same with Django, with a middleware of the project's own and SQLite."""

import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import JsonResponse
from django.urls import path

from headgate.instrumentation import event


def orders(request, number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s + 1", [number])
        event("order.viewed", value=cursor.fetchone()[0])
    return JsonResponse({"number": number})


def fail(request):
    raise ValueError("as meant")


urlpatterns = [path("orders/<int:number>", orders), path("fail", fail)]


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *args):
        """Say nothing."""


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.readline()
    server.shutdown()
