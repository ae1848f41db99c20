#!/usr/bin/env bash
# Installs the command of the release VERSION of REPOSITORY for this runner, and adds it to the PATH of
# the next steps.
set -euo pipefail

case "$RUNNER_OS-$RUNNER_ARCH" in
  Linux-X64) target=x86_64-unknown-linux-musl ;;
  Linux-ARM64) target=aarch64-unknown-linux-musl ;;
  *)
    echo "::error::rdsprov has no release for $RUNNER_OS on $RUNNER_ARCH; use a Linux runner"
    exit 1
    ;;
esac
archive="rdsprov-$VERSION-$target.tar.gz"
directory="$RUNNER_TEMP/rdsprov-$VERSION"
mkdir -p "$directory"
cd "$directory"
gh release download "v$VERSION" --repo "$REPOSITORY" --clobber \
  --pattern "$archive" --pattern SHA256SUMS
# Fails if SHA256SUMS does not name the archive.
grep -F "  $archive" SHA256SUMS | sha256sum --check --strict
tar --extract --gzip --file "$archive"
echo "$directory" >> "$GITHUB_PATH"
"$directory/rdsprov" --version
