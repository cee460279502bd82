#!/usr/bin/env bash
# package.sh PYTHON OUT.vsix: the extension with the project's wheel inside. PYTHON has the build backend.
set -eu
cd "$(dirname "$0")"
PYTHON=$1
OUT=$2

if ! command -v npm >/dev/null; then
  echo "Packing the extension needs Node 20 or newer and npm. Install them, then run make again." >&2
  exit 1
fi
# vsce needs Node 22 or newer; an older one runs it by a Node from the registry
node_22() { node -e 'process.exit(parseInt(process.versions.node) < 22)' 2>/dev/null; }
modern() { if node_22; then "$@"; else npx --yes --package=node@24 -- "$@"; fi; }

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error
fi
rm -rf dist
mkdir -p dist "$(dirname "$OUT")"
"$PYTHON" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ..
# made lean, then packed as a whole, which takes half the space; the extension unpacks it
"$PYTHON" lean_wheel.py dist/*.whl
node -e '
const { readFileSync, writeFileSync } = require("node:fs");
const { brotliCompressSync, constants } = require("node:zlib");
const [, wheel] = process.argv;
writeFileSync(`${wheel}.br`, brotliCompressSync(readFileSync(wheel), { params: { [constants.BROTLI_PARAM_LGWIN]: 22 } }));
' dist/*.whl
npm run --silent check
npm run --silent build
modern node_modules/.bin/vsce package --no-dependencies --allow-missing-repository --no-rewrite-relative-links --out "$OUT"
echo "$OUT: $(wc -c < "$OUT") bytes, of 500000 that it may have"
