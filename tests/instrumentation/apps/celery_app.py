"""A Celery application with a broker made of files."""

import os

from celery import Celery

folder = os.environ["CELERY_FOLDER"]
app = Celery("worker", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "store_processed": False,
}
app.conf.broker_connection_retry_on_startup = True


@app.task
def convert(number):
    if number < 0:
        raise ArithmeticError("negative")
    return number * 2
