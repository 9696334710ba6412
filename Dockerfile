FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/inapp \
    && /opt/inapp/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY . .
RUN /opt/inapp/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
# The edge's spool and its last good bundles live here: give it a volume.
RUN useradd --system --create-home --home-dir /var/lib/inapp inapp
COPY --from=build /opt/inapp /opt/inapp
ENV PATH=/opt/inapp/bin:$PATH PYTHONUNBUFFERED=1
USER inapp
VOLUME /var/lib/inapp
EXPOSE 8700
CMD ["inapp", "--help"]
