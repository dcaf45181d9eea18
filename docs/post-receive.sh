#!/bin/sh
# Tells drover what was pushed. Copy it to hooks/post-receive of a bare repository and make it executable.
#
# On the master's host (whoever pushes must be allowed to use the socket):
#   git config drover.project libfoo
# On another host, by a signed delivery to the project's hook (dialect: github):
#   git config drover.hook https://ci.example.org/hooks/libfoo
#   git config drover.secret /etc/drover/secrets/libfoo.hook     # a file: one line, readable by whoever pushes
#
# Needs git; and `drover`, or curl and openssl. A push is never refused or held up for long: what could not be told is found by the poller.
set -u
most=100 # commits told of one branch; of more just the newest, the poller finds the others

project=$(git config drover.project) || project=
hook=$(git config drover.hook) || hook=
secret=$(git config drover.secret) || secret=
zero=0000000000000000000000000000000000000000
zero256=${zero}000000000000000000000000

say() { echo "drover: $*" >&2; }
is_zero() { [ "$1" = $zero ] || [ "$1" = $zero256 ]; }

# The commits of old..new that no other branch has, oldest first; just new where there are none, nothing where there are too many.
commits() { # old new ref
  if is_zero "$1"; then not=; else not=$1; fi
  n=$(git rev-list --count "$2" --not $not --exclude="${3#refs/heads/}" --branches) || n=0
  if [ "$n" -gt 1 ] && [ "$n" -le $most ]; then
    git rev-list --reverse --topo-order "$2" --not $not --exclude="${3#refs/heads/}" --branches
  elif [ "$n" -le 1 ]; then
    echo "$2"
  fi
}

# ---- to the socket ----

send_here() { # branch revision
  author=$(git log -1 --format='%an <%ae>' "$2")
  message=$(git log -1 --format=%B "$2")
  set -- --branch "$1" --revision "$2" --author "$author" --message "$message"
  drover change send --project "$project" "$@" >/dev/null || say "could not tell $2; the poller will find it"
}

# ---- to the hook ----

# A byte as printf's format writes it.
octal() { if [ "$1" = 37 ]; then printf '%%%%'; else printf '\\%03o' "$1"; fi; }

# HMAC-SHA256 of stdin in hex. The secret is in no argument, where `ps` would show it.
hmac() {
  key=$(head -n 1 "$secret" | tr -d '\n' | od -An -v -tu1 | tr -s ' \n' '  ')
  set -- $key
  if [ $# -gt 64 ]; then
    set -- $(head -n 1 "$secret" | tr -d '\n' | openssl dgst -sha256 -binary | od -An -v -tu1 | tr -s ' \n' '  ')
  fi
  inner='' outer='' i=0
  while [ $i -lt 64 ]; do
    byte=0
    if [ $# -gt 0 ]; then byte=$1; shift; fi
    inner=$inner$(octal $((byte ^ 54)))
    outer=$outer$(octal $((byte ^ 92)))
    i=$((i + 1))
  done
  body=$(mktemp) || exit 1
  { printf "$inner"; cat; } | openssl dgst -sha256 -binary >"$body"
  { printf "$outer"; cat "$body"; } | openssl dgst -sha256 -binary | od -An -v -tx1 | tr -d ' \n'
  rm -f "$body"
}

# A text as a JSON string: its first line, control bytes left out.
json() { printf '"'; head -n 1 | tr -d '\000-\037\177' | sed 's/[\\"]/\\&/g' | tr -d '\n'; printf '"'; }

# The files of a commit. Names with quotes, backslashes or control bytes (git puts those into quotes) are left out.
files() {
  git -c core.quotePath=false diff-tree --root --no-commit-id --name-only -r -m --first-parent "$1" | grep -v '^"' | sed 's/.*/"&"/' | tr '\n' ',' | sed 's/,$//'
}

commit_json() { # revision
  printf '{"id":"%s","timestamp":"%s","message":' "$1" "$(git log -1 --format=%aI "$1")"
  git log -1 --format=%s "$1" | json
  printf ',"author":{"name":'
  git log -1 --format=%an "$1" | json
  printf ',"email":'
  git log -1 --format=%ae "$1" | json
  printf '},"modified":[%s]}' "$(files "$1")"
}

push_json() { # old new ref
  printf '{"ref":"%s","before":"%s","after":"%s","commits":[' "$3" "$1" "$2"
  if ! is_zero "$2"; then
    comma=
    for c in $(case $3 in refs/tags/*) git rev-parse "$2^{commit}" ;; *) commits "$1" "$2" "$3" ;; esac); do
      printf '%s' "$comma"
      commit_json "$c"
      comma=,
    done
  fi
  printf ']'
  case $3 in refs/tags/*) is_zero "$2" || { printf ',"head_commit":'; commit_json "$(git rev-parse "$2^{commit}")"; } ;; esac
  printf '}'
}

send_there() { # old new ref
  payload=$(mktemp) || return
  push_json "$1" "$2" "$3" >"$payload"
  id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  curl -sS -f -o /dev/null --max-time 20 --retry 3 --retry-delay 1 --retry-connrefused \
    -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' -H "X-GitHub-Delivery: $id" \
    -H "X-Hub-Signature-256: sha256=$(hmac <"$payload")" --data-binary "@$payload" "$hook" || say "could not tell $3; the poller will find it"
  rm -f "$payload"
}

# ---- what was pushed ----

while read -r old new ref; do
  case ${ref#refs/*/} in
  *[!A-Za-z0-9._/+@-]*) say "$ref is a name that drover does not take"; continue ;;
  esac
  if [ -n "$hook" ]; then
    case $ref in
    refs/heads/* | refs/tags/*) send_there "$old" "$new" "$ref" ;;
    esac
  elif [ -n "$project" ]; then
    case $ref in
    refs/heads/*)
      is_zero "$new" && continue
      list=$(commits "$old" "$new" "$ref")
      for c in ${list:-$new}; do send_here "${ref#refs/heads/}" "$c"; done ;;
    esac
  else
    say "neither drover.hook nor drover.project is set in this repository"
    break
  fi
done
exit 0
