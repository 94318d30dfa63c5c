# The page on port 7860, as a user without privileges; runs and the default model are kept in /data.
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 tokenarium && mkdir /data && chown tokenarium /data
WORKDIR /app

# Attention statistics have a path in C, compiled at the start for the processor they run on.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# PyTorch for the CPU, before anything else can choose another build.
# EXTRA names what one deployment needs beside them, such as psycopg[binary] for PostgreSQL.
ARG EXTRA=""
COPY requirements.txt ./
RUN torch=$(grep '^torch==' requirements.txt) \
    && pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "$torch" \
    && pip install --no-cache-dir -r requirements.txt $EXTRA

COPY __init__.py app.py pyproject.toml LICENSE ./
COPY assets assets
COPY backend backend
COPY kernels kernels
COPY storage storage
COPY ui ui

# A worker of Ray imports the package by its name.
RUN mkdir /opt/python && ln -s /app /opt/python/tokenarium
ENV PYTHONPATH=/opt/python

USER tokenarium
ENV TOKENARIUM_HOST=0.0.0.0 \
    TOKENARIUM_DATABASE=duckdb:////data/runs.duckdb \
    TOKENARIUM_CACHE_DIR=/data/cache \
    PYTHONDONTWRITEBYTECODE=1
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/ready', timeout=4)"]
CMD ["python", "app.py"]
