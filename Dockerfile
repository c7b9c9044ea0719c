# Two images: `api` is the HTTP service without PyTorch, `worker` holds everything. What is installed
# and what is ours are layers of their own, so that a change of the code installs nothing again.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# The lists in files of their own, so that only a change of a list installs it again.
FROM base AS requirements
WORKDIR /requirements
COPY pyproject.toml ./
RUN python -c "import tomllib; \
    read = tomllib.load(open('pyproject.toml', 'rb')); \
    ours, extra = read['project'], read['project']['optional-dependencies']; \
    lists = {'build': read['build-system']['requires'], 'worker': extra['worker'], \
             'api': ours['dependencies'] + extra['postgres'] + extra['fleet']}; \
    [print(*lines, sep='\n', file=open(f'{name}.txt', 'w')) for name, lines in lists.items()]"

FROM base AS package
WORKDIR /build
COPY --from=requirements /requirements/build.txt /tmp/
RUN pip install -r /tmp/build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

FROM base AS service
RUN groupadd --gid 10001 lotus \
    && useradd --uid 10001 --gid lotus --home-dir /var/lib/lotus --create-home lotus \
    && install --directory --owner lotus --group lotus /var/lib/lotus-sealer /var/lib/lotus-opendsr \
    && chmod 700 /var/lib/lotus /var/lib/lotus-sealer /var/lib/lotus-opendsr
COPY --from=requirements /requirements/api.txt /tmp/
RUN pip install -r /tmp/api.txt
ENV LOTUS_DATA_DIR=/var/lib/lotus
WORKDIR /var/lib/lotus
VOLUME /var/lib/lotus
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
CMD ["lotus", "serve", "--host", "0.0.0.0"]

FROM service AS api
COPY --from=package /dist /tmp/dist
RUN pip install --no-deps /tmp/dist/*.whl
USER 10001:10001

FROM service AS worker
# Threads that each keep memory of their own would make its processes larger. The API tells itself.
ENV MALLOC_ARENA_MAX=2
# Another source of PyTorch, such as https://download.pytorch.org/whl/cpu, which is far smaller.
ARG PIP_EXTRA_INDEX_URL=
COPY --from=requirements /requirements/worker.txt /tmp/
RUN pip install -r /tmp/worker.txt
COPY --from=package /dist /tmp/dist
RUN pip install --no-deps /tmp/dist/*.whl
USER 10001:10001
