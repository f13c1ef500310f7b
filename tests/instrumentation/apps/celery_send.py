"""A program that queues tasks on behalf of a user."""

from celery_app import convert

from headgate.instrumentation import session

with session(user="queuer", id="s-queue"):
    convert.delay(21)
    convert.delay(-1)
