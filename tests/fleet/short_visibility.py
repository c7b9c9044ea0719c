"""The Celery application of the workers, over a broker that delivers again after two seconds what
was not acknowledged: far less than any run takes."""

from workers.celery_app import app

app.conf.broker_transport_options = {**app.conf.broker_transport_options, "visibility_timeout": 2}
