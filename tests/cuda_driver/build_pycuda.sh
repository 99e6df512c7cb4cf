#!/usr/bin/env bash
# build_pycuda.sh PYTHON FOLDER: makes a wheel of PyCUDA, which has none, where there is neither CUDA toolkit nor driver.
# The headers are wheels of 2 MB. Compiled in a minute, and not optimised: it is for tests alone.
set -euo pipefail
rm -rf "$2"
if [ "$(uname)" != Linux ] || ! command -v g++ >/dev/null; then
  echo "the tests of CUDA need Linux and g++ and will be skipped"
  exit
fi
python=$(realpath -s "$1") here=$(realpath "$(dirname "$0")")
mkdir -p "$2"
cd "$2"
"$python" -m pip install --quiet --no-deps --target headers \
  nvidia-cuda-runtime==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-profiler-api==13.0.85

# PyCUDA reads its settings from the home folder; it is not linked with the driver, which is loaded before it.
cat >.aksetup-defaults.py <<END
CUDA_INC_DIR = ["$PWD/headers/nvidia/cu13/include"]
CUDA_ENABLE_CURAND = False
CUDADRV_LIBNAME = []
END
PIP_CACHE_DIR=$("$python" -m pip cache dir)
export PIP_CACHE_DIR XDG_CONFIG_HOME="${XDG_CONFIG_HOME:-$HOME/.config}" HOME=$PWD
export CC="$here/compile_side_by_side.sh" JOBS="$PWD/jobs"
export CXX=$CC LDSHARED="$CC -shared" LDCXXSHARED="$CC -shared"
"$python" -m pip wheel --no-deps --no-binary pycuda --wheel-dir . pycuda==2026.1 &>build.log || {
  cat build.log
  exit 1
}
