# One image for the web process, the worker and the migrations; the command says which of them it is.
#   docker build --tag armo .
# docs/deploying.md has what it needs to run.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv /venv
# Before the code, so that a change of it alone installs nothing anew.
COPY requirements.txt ./
RUN pip install --requirement requirements.txt
COPY . .
# Settings that only have to be valid: no database is asked, and what the key signs is not kept.
RUN SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
    DATABASE_URL=postgres://none/none ALLOWED_HOSTS=localhost SITE_URL=https://localhost \
    python manage.py collectstatic --noinput --verbosity=0

FROM python:${PYTHON}-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000
# By number, so that Kubernetes knows that it is not root.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin armo
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
USER 10001
EXPOSE 8000
# Of the web process, also while the database is away: a restart would not bring it back.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health/live/', timeout=4)"]
CMD ["gunicorn", "armo.wsgi"]
