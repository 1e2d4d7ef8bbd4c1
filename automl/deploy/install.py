"""What it takes to run a bundle elsewhere: requirements.txt and a Dockerfile."""

from __future__ import annotations

from automl.deploy.runtime import NEEDS, OPTIONAL, version_of

SELF_TEST = "from level4 import Bundle; Bundle.load('.'); print('the examples are answered as they were')"
"""To load a bundle asks them of the graph that answers: a variant's answers are not those of examples.json."""


def requirements_text(*, sounds: bool = False) -> str:
    """requirements.txt: the runtime's needs in the versions that run here. ``sounds``: it is sent files of sounds."""
    names = [*NEEDS, *(OPTIONAL["audio"] if sounds else ())]
    return "".join(f"{name}=={version_of(name)}\n" for name in names)


def dockerfile(wheel: str) -> str:
    """A Dockerfile for the bundle's folder: an image that serves it. While it is made the model is asked its examples.

    ``wheel``: the name of the runtime in the folder. A container is reached from outside, so its server needs a token:
    docker build -t model . && docker run -p 127.0.0.1:8000:8000 -e LEVEL4_TOKEN=... model
    """
    return f"""FROM python:3.11-slim
RUN useradd --create-home bundle
WORKDIR /bundle
COPY requirements.txt {wheel} ./
RUN pip install --no-cache-dir -r requirements.txt && pip install --no-cache-dir "./{wheel}[serve]"
COPY . .
USER bundle
RUN python -c "{SELF_TEST}"
EXPOSE 8000
HEALTHCHECK CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz')"
CMD ["python", "-m", "automl.serve", "/bundle", "--host", "0.0.0.0"]
"""
