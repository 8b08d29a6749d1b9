"""The one part of the build that pyproject.toml cannot say without a warning: small extensions that may fail to build."""

from setuptools import Extension, setup

KERNELS = [f"amparo/known/native/{name}.c" for name in ("module", "pdq", "nearest", "exact")]

setup(
    ext_modules=[
        # Optional: where no compiler is at hand, hashlib does the same in twice the time (amparo/digests.py).
        Extension("amparo._digests", ["amparo/_digests.c"], extra_compile_args=["-O2"], optional=True),
        # Optional: NumPy does the same, slower (each kernel's wrapper in amparo/known names its twin).
        Extension(
            "amparo.known._native",
            KERNELS,
            depends=["amparo/known/native/kernels.h"],
            extra_compile_args=["-O3"],
            optional=True,
        ),
    ]
)
