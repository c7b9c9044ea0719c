# Two images: `api` is the HTTP service without PyTorch, `worker` holds everything.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LOTUS_DATA_DIR=/var/lib/lotus
WORKDIR /srv/lotus
RUN useradd --system --uid 10001 --home-dir /var/lib/lotus --create-home lotus
VOLUME /var/lib/lotus
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
CMD ["lotus", "serve", "--host", "0.0.0.0"]

FROM base AS api
COPY . .
RUN pip install --no-cache-dir '.[postgres]'
USER lotus

FROM base AS worker
# The dependencies alone first, so that a change of the code does not install PyTorch again.
COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    e = p['optional-dependencies']; print(*p['dependencies'], *e['worker'], *e['postgres'], sep='\n')" \
    > /tmp/requirements.txt \
    && pip install --no-cache-dir -r /tmp/requirements.txt
COPY . .
RUN pip install --no-cache-dir '.[worker,postgres]'
USER lotus
