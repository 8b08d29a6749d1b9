#!/bin/sh
# Pin and hash every dependency again. Neither file names an index or its host.
set -eu
cd "$(dirname "$0")/.."
options="--only-binary :all: --generate-hashes --no-emit-index-url --universal --python-version 3.11 --no-header --quiet"
uv pip compile pyproject.toml --extra build $options -o requirements.txt
uv pip compile pyproject.toml --extra build --extra provider --extra store --extra cluster --extra dev $options -o requirements-dev.txt
