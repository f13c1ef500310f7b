"""Settings of the Django application."""

ALLOWED_HOSTS = ["*"]
SECRET_KEY = "only for tests"  # noqa: S105  # nothing is protected by it
ROOT_URLCONF = "django_app"
MIDDLEWARE = ["django_app_who.middleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
