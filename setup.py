"""The one part of the build that pyproject.toml cannot say without a warning: a small extension that may fail to build."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        # Optional: where no compiler is at hand, hashlib does the same in twice the time (amparo/evidence/digests.py).
        Extension("amparo.evidence._digests", ["amparo/evidence/_digests.c"], extra_compile_args=["-O2"], optional=True)
    ]
)
