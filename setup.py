"""Builds the C extension `pytorch_quantization_c._C`; all other metadata is in pyproject.toml.

Environment: PQC_DEBUG=1 (asserts, -O1 -g), PQC_SANITIZE=1 (ASan + UBSan), PQC_COVERAGE=1 (gcov), PQC_WERROR=1.
"""
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLOORS = ("kernels", "runtime", "operators", "program", "python")  # each knows those before it


def wanted(name):
    return os.environ.get(name, "0") not in ("", "0")


def flags(compiler):
    """(for the compiler, for the linker) where distutils calls it "msvc", "unix" or "mingw32"."""
    if compiler == "msvc":
        return ["/std:c11", "/experimental:c11atomics", "/O2", "/fp:precise"], []
    compile_args = ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-g0", "-Wall", "-Wextra",
                    "-Wshadow", "-Wstrict-prototypes", "-Wvla"]
    link_args = ["-lm", "-pthread"]
    if wanted("PQC_WERROR"):
        compile_args.append("-Werror")
    if wanted("PQC_DEBUG"):
        compile_args += ["-O1", "-g", "-UNDEBUG"]
    if wanted("PQC_SANITIZE"):
        sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g1"]
        compile_args += [*sanitize, "-O1"]
        link_args += sanitize
    if wanted("PQC_COVERAGE"):
        compile_args += ["--coverage", "-O1"]
        link_args.append("--coverage")
    return compile_args, link_args


class BuildBesideSources(build_ext):
    """Compiles as many sources at a time as there are processors, at most 8, or as `--parallel` says.

    Leaves a plain build in the source tree as well: in a checkout, `python -m` and scripts find that one first.
    """

    def build_extension(self, ext):
        ext.extra_compile_args, ext.extra_link_args = flags(self.compiler.compiler_type)
        if self.compiler.compiler_type != "msvc":
            one_by_one = self.compiler.compile

            def at_once(sources, **options):
                with ThreadPoolExecutor(self.parallel or min(os.cpu_count() or 1, 8)) as pool:
                    return sum(pool.map(lambda source: one_by_one([source], **options), sources), [])

            self.compiler.compile = at_once
        super().build_extension(ext)

    def run(self):
        super().run()
        if not (self.inplace or any(map(wanted, ("PQC_DEBUG", "PQC_SANITIZE", "PQC_COVERAGE")))):
            self.copy_extensions_to_source()


macros = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION")]

setup(cmdclass={"build_ext": BuildBesideSources}, ext_modules=[Extension(
    "pytorch_quantization_c._C",
    sources=sorted(str(path) for floor in FLOORS for path in Path("csrc", floor).glob("**/*.c")),
    depends=sorted(str(path) for path in Path("csrc").glob("**/*.h")),
    include_dirs=[*(f"csrc/{floor}" for floor in FLOORS), numpy.get_include()],
    define_macros=macros,
)])
