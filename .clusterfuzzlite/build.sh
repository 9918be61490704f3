#!/bin/bash -eu
# Build the targets of fuzz/, and pack the inputs that each starts from.
python3 -m pip install --quiet '.[signatures]'

python3 -m fuzz --write-seeds "$WORK/seeds"
python3 -c '
from fuzz.registry import TARGETS
for name, target in TARGETS.items():
    print(target.run.__module__, name)
' >"$WORK/targets"

# One program for all targets: each has the same Python and libraries, of 60 MB. It imports only the
# module of one target, by name, so PyInstaller must be told of all.
imports=()
while read -r module _; do imports+=(--hidden-import "$module"); done <"$WORK/targets"
pyinstaller --distpath "$OUT" --workpath "$WORK" --specpath "$WORK" --onefile \
  --name fuzz_targets.pkg --paths "$PWD" --collect-submodules purekernel "${imports[@]}" fuzz/engine.py

while read -r module name; do
  # Without LD_PRELOAD: what is fuzzed is Python.
  cat >"$OUT/fuzz_$name" <<PROGRAM
#!/bin/sh
# LLVMFuzzerTestOneInput: by this word, ClusterFuzzLite finds targets.
exec "\$(dirname "\$0")/fuzz_targets.pkg" $module $name "\$@"
PROGRAM
  chmod +x "$OUT/fuzz_$name"
  # One call for each folder: zip refuses two files of one name.
  for folder in "$WORK/seeds/$name" "fuzz/corpora/$name" "fuzz/findings/$name"; do
    [ ! -d "$folder" ] ||
      find "$folder" -type f -exec zip --quiet --junk-paths "$OUT/fuzz_${name}_seed_corpus.zip" {} +
  done
done <"$WORK/targets"
