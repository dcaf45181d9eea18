#!/bin/bash
# What the programs must not hold: the worker is static, small and knows no version control; the master compresses nothing; the command line knows no database.
cd "$(dirname "$0")/../.." || exit 1
build=${DROVER_BUILD:-build}
bad=0
no() { echo "$build/$1:0: $2"; bad=1; }
for p in drover-worker drover-master drover drover-git-helper drover-ssh-helper; do
  [ -x "$build/$p" ] || { echo "$build/$p:0: not built"; exit 1; }
done
LIMIT=400000
bytes=$(wc -c <"$build/drover-worker")
[ "$bytes" -lt $LIMIT ] || no drover-worker "$bytes bytes, the limit is $LIMIT"
if command -v file >/dev/null; then
  file -b "$build/drover-worker" | grep -q 'statically linked' || no drover-worker "not statically linked"
else
  readelf -d "$build/drover-worker" 2>/dev/null | grep -q NEEDED && no drover-worker "needs shared libraries"
fi
for f in vfscanf strftime __floatscan; do # common/scan.h and clock_text() are there in place of the first two
  nm "$build/drover-worker.debug" | grep -qw "$f" && no drover-worker "holds $f, which is not worth its size"
done
readelf -SW "$build/drover-worker" | grep -qF .eh_frame && no drover-worker "holds .eh_frame: worker/lean.ld leaves it out"
strings "$build/drover-worker" | grep -qw git && no drover-worker "holds the word git: $(strings "$build/drover-worker" | grep -w git | head -1)"
nm -D -u "$build/drover-master" | grep -q ' deflate' && no drover-master "calls deflate"
ldd "$build/drover" | grep -E -q 'libpq|libcurl|libuv|libgit2' && no drover "links $(ldd "$build/drover" | grep -E -o 'lib(pq|curl|uv|git2)[^ ]*' | head -1)"
ldd "$build/drover-master" | grep -q libgit2 && no drover-master "links libgit2, which is the helper's"
ldd "$build/drover-master" | grep -q libssh2 && no drover-master "links libssh2, which is drover-ssh-helper's"
ldd "$build/drover-git-helper" | grep -q libpq && no drover-git-helper "links libpq"
exit $bad
