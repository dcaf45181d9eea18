#!/bin/bash
# Files of at most 600 lines, functions of at most 120: told where passed, refused where passed by more than a fifth. Tests are only told.
cd "$(dirname "$0")/../.." || exit 1
bad=0
look() { # path:line name lines limit what
  if [ "$3" -gt $(($4 * 6 / 5)) ] && [[ $1 != tests/* ]]; then
    echo "$1: $2 has $3 lines, the limit is $4"
    bad=1
  elif [ "$3" -gt "$4" ]; then
    echo "note: $1: $2 has $3 lines, aim at $4"
  fi
}
while read -r lines path; do
  look "$path:1" "the file" "$lines" 600
done < <(find common proto worker master tests -name '*.[ch]' | sort | xargs wc -l | grep -v ' total$')
if command -v ctags >/dev/null && ctags --version | grep -q Universal; then
  while read -r path name from to; do
    look "$path:$from" "$name()" $((to - from + 1)) 120
  done < <(find common proto worker master tests -name '*.c' | sort | ctags -L - -o - --languages=C --c-kinds=f --fields=ne --excmd=number 2>/dev/null |
    awk -F'\t' '/^!/ { next } { from = to = 0; for (i = 3; i <= NF; i++) { if ($i ~ /^line:/) from = substr($i, 6); if ($i ~ /^end:/) to = substr($i, 5) } if (to) print $2, $1, from, to }')
fi
exit $bad
