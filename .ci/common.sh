# What .ci/run and .ci/nightly share; sourced by both, from the checkout that is to be tested.
# shellcheck shell=bash
set -euo pipefail

if [ "$(id -u)" -ne 0 ]; then
  echo "run this as root: some independent checkers make device nodes, and their tests must not be skipped" >&2
  exit 1
fi

# Tests start several hundred processes of ours: each would compile all of it.
unset PYTHONDONTWRITEBYTECODE

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
background=()
declare -A beside

finish() {
  local pid
  for pid in "${background[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  # Wine's server outlives the programs that it served, and writes to its folder at its end.
  if [ -d "$work/windows/prefix" ]; then WINEPREFIX="$work/windows/prefix" wineserver -k || true; fi
  rm -rf "$work"
}
trap finish EXIT

# Tests compare with these; one that is missing fails the run.
packages=(
  acl advancecomp attr binutils busybox-static cpio diffoscope-minimal dosfstools e2fsprogs fdisk file
  gdisk genisoimage
  gnupg grub-common grub-efi-amd64-bin grub-efi-ia32-bin grub-pc-bin ipxe-qemu isolinux kmod
  libarchive-tools libc-bin lz4 mtools openssh-client openssl ovmf ovmf-ia32 p7zip-full patch pigz
  pxelinux
  python3-venv
  qemu-system-x86 qemu-user-static qemu-utils ruby seabios skopeo squashfs-tools strace syslinux-common
  syslinux-utils tar time umoci
  util-linux wget xorriso xz-utils zstd
)

# For the tests marked nightly, and the slices of them.
nightly_packages=(chromium)

# For .ci/windows-python, which only the nightly work and one of its slices need.
windows_packages=(gcc-mingw-w64-x86-64-win32 wine wine64)

pip_install=(install --quiet --disable-pip-version-check)

# part TITLE FUNCTION [ARGUMENT...]: call it, and print the time that it took.
part() {
  local title=$1 start=$SECONDS
  shift
  echo "== $title"
  "$@"
  echo "== $title: $((SECONDS - start)) s"
}

install_checkers() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${packages[@]}" "$@" >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; exit 1; }
}

# start_beside FUNCTION TITLE: call it while other parts run, because it mostly waits for downloads.
start_beside() {
  local function=$1 title=$2
  (
    start=$SECONDS
    "$function"
    echo "== $title: $((SECONDS - start)) s, beside other parts"
  ) >"$work/$function.log" 2>&1 &
  beside[$function]=$!
  background+=("$!")
}

# await_beside FUNCTION: wait for it, and print the end of its output; if it failed, all of it.
await_beside() {
  if ! wait "${beside[$1]}"; then
    cat "$work/$1.log" >&2
    exit 1
  fi
  tail -n 2 "$work/$1.log"
}

# Debian's libraries and kernels.
lay_debian_roots() {
  "$root/.ci/debian-roots" "$PUREKERNEL_DEBIAN"
}

# Wine and Python for Windows.
install_windows() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${windows_packages[@]}"
  "$root/.ci/windows-python" "$work/windows"
}

# windows_tests MARKS [ARGUMENT...]: with Python for Windows, the sample, and the tests with these
# marks that need no other program, cluster or data. Those that start a server are skipped.
windows_tests() {
  local marks=$1 digest
  shift
  "$work/windows/python" -m purekernel build --sample --quiet --output-dir "$work/windows/sample"
  digest=$(sed -n 's/^balanced = "\(.*\)"/\1/p' tests/digests.toml)
  echo "$digest  $(ls "$work"/windows/sample/*.iso)" | sha256sum --check
  (
    unset PUREKERNEL_REQUIRE_ORACLES PUREKERNEL_DEBIAN PUREKERNEL_SHARED
    "$work/windows/python" -m pytest -q -n 2 --dist loadfile -p no:cacheprovider \
      --junitxml "$work/windows/results.xml" \
      -m "not oracle and not boot and not cluster and $marks" "$@"
  )
}

# All of them; how many passed and were skipped is compared with a list that is checked in.
every_windows_test() {
  windows_tests "(nightly or not nightly)"
  .venv/bin/python -m tests.windows_results "$work/windows/results.xml"
}

clone() {
  git clone --quiet "$root" "$work/purekernel"
  cd "$work/purekernel"
  export PUREKERNEL_SHARED="${PUREKERNEL_SHARED:-$root/../shared/mirror}"
  export PUREKERNEL_REQUIRE_ORACLES="${PUREKERNEL_REQUIRE_ORACLES:-1}"
  export PUREKERNEL_DEBIAN="$work/debian"
}

# The README's own commands, found by the comments before them.
readme_command() {
  awk -v mark="<!-- ci: $1 -->" '
    index($0, mark) { found = 1 }
    found && /^```/ { fence++; next }
    found && fence == 1 { print; exit }
  ' README.md
}

run_readme_command() {
  local command
  command=$(readme_command "$1")
  test -n "$command"
  echo "\$ $command"
  bash -euc "$command"
}

run_tests() {
  .venv/bin/python -m pytest -q -n 2 --dist loadfile "$@"
}

# A venv with the oldest releases that pyproject.toml admits.
install_oldest() {
  python3 - >"$work/oldest.txt" <<'PYTHON'
import re
import tomllib

with open("pyproject.toml", "rb") as stream:
    project = tomllib.load(stream)["project"]
extras = project["optional-dependencies"]
for requirement in (*project["dependencies"], *extras["dask"], *extras["lz4"], *extras["sbom"], *extras["signatures"]):
    print(re.sub(r">=([^,]+).*", r"==\1", requirement))
PYTHON
  cat "$work/oldest.txt"
  /usr/bin/python3 -m venv "$work/oldest"
  "$work/oldest/bin/pip" "${pip_install[@]}" -c "$work/oldest.txt" '.[test]'
}

run_oldest_tests() {
  "$work/oldest/bin/python" -m pytest -q -n 2 --dist loadfile "$@"
}

install_project() {
  python3 -m venv .venv
  .venv/bin/pip "${pip_install[@]}" -e '.[test]'
}

# benchmark TABLE [ARGUMENT...]: print one table. docs/compression.svg is left as it is.
benchmark() {
  local table=$1
  shift
  if [ "$PUREKERNEL_REQUIRE_ORACLES" = programs ] && [ ! -d "$PUREKERNEL_SHARED" ]; then
    echo "not measured: no shared mirror at $PUREKERNEL_SHARED"
    return
  fi
  if [ "$table" = compression ]; then set -- --plot "$work/compression.svg" "$@"; fi
  .venv/bin/python -m "benchmarks.$table" "$@"
}

# The nightly mutation run on one small module, so that each landing may show that it works.
mutate_one_module() {
  .venv/bin/pip "${pip_install[@]}" -e '.[test,mutation]'
  .venv/bin/python -m tests.mutation purekernel/similar.py --tests tests/test_similar.py
}

# fuzz [ARGUMENT...]: run fuzz/ with atheris, two targets at once.
fuzz() {
  .venv/bin/pip "${pip_install[@]}" -e '.[test,fuzz]'
  .venv/bin/python -m fuzz --jobs 2 "$@"
}

# nightly_slice K: an eighth of the tests marked nightly, a few seconds of fuzzing for an eighth of the
# targets, and one of eight other parts. Tests go by a checksum of their names, so that each keeps its
# slice as others come and go; and as the slice is chosen by the number of commits, eight commits run
# them all.
nightly_slice() {
  run_tests -m nightly --slice "$1/8"
  fuzz --slice "$1/8" --seconds 5
  case $1 in
    0) benchmark build --runs 1 ;;
    1)
      await_beside install_windows
      # The number of commits chose this slice; an eighth of it chooses the eighth of the tests.
      windows_tests "not nightly" --slice "$(($(git rev-list --count HEAD) / 8 % 8))/8"
      ;;
    2) benchmark compression --quick --core ;;
    3)
      benchmark indexes --runs 1
      mutate_one_module
      ;;
    4)
      benchmark packages --runs 1
      benchmark gather --runs 1
      ;;
    5) oldest_part "slow and not nightly" ;;
    6) oldest_part "oracle and not boot and not faults and not nightly and not slow" ;;
    7) oldest_part "cluster and not nightly" ;;
  esac
}

oldest_part() {
  [ -d "$work/oldest" ] || install_oldest
  run_oldest_tests -m "$@"
}
