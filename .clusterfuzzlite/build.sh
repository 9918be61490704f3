#!/bin/bash -eu
# Build a program for each target of fuzz/, and pack the inputs that it starts from.
python3 -m pip install --quiet '.[signatures]'

python3 -m fuzz --write-seeds "$WORK/seeds"
python3 -c '
from fuzz.registry import TARGETS
for name, target in TARGETS.items():
    print(target.run.__module__, name)
' >"$WORK/targets"

while read -r module name; do
  program=fuzz_$name
  # Not through fuzz.engine alone: PyInstaller must see the import, and atheris must instrument it.
  cat >"$program.py" <<PYTHON
import sys

import atheris

with atheris.instrument_imports(include=["purekernel"]):
    import $module

from fuzz.engine import main

main("$module", "$name", sys.argv[1:])
PYTHON
  compile_python_fuzzer "$program.py" --paths . --collect-submodules purekernel
  mkdir -p "fuzz/corpora/$name" "fuzz/findings/$name"
  find "$WORK/seeds/$name" "fuzz/corpora/$name" "fuzz/findings/$name" -type f \
    -exec zip --quiet --junk-paths "$OUT/${program}_seed_corpus.zip" {} +
  rm "$program.py"
done <"$WORK/targets"
