/* Arbitrary bytes as records and as a join token: what is accepted is written back as it was read. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/records.h"
#include "proto/token.h"

static void records(const char *p, size_t n)
{
  char key[RECORDS_KEY_MAX + 1], first[RECORDS_KEY_MAX + 1] = "";
  const char *value;
  struct buf b;
  size_t at = 0;
  enum err e;

  buf_init(&b, BUF_NO_MAX);
  while ((e = records_next(p, n, &at, key, &value)) == ERR_OK) {
    must(value > p && value + strlen(value) < p + n);
    records_put(&b, key, value);
    must(!b.failed && b.len == at);
    if (!*first)
      memcpy(first, key, sizeof key);
    must(records_get(p, n, key) != NULL);
  }
  must(b.len == 0 || !memcmp(b.data, p, b.len));
  must(records_valid(p, n) == (e == ERR_NOTFOUND));
  must(e == ERR_SYNTAX || b.len == n);
  must(!*first || records_get(p, n, first) == p + strlen(first) + 1);
  buf_free(&b);
}

static void join_token(const char *s)
{
  struct token t, again;
  const char *why;
  struct buf a, b;

  if (token_parse(s, &t, &why)) {
    must(why && !t.secret && !t.name && !t.addresses);
    return;
  }
  buf_init(&a, BUF_NO_MAX);
  buf_init(&b, BUF_NO_MAX);
  token_put(&a, &t);
  must(strstr(s, a.data) != NULL); /* all but white space around it */
  must(token_parse(a.data, &again, &why) == ERR_OK);
  token_put(&b, &again);
  must(a.len == b.len && !memcmp(a.data, b.data, a.len));
  token_free(&t);
  token_free(&again);
  buf_free(&a);
  buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *copy = xmemdup(p, n), *text = xstrndup((const char *)p, n);
  struct token_address a;

  records(copy, n);
  join_token(text);
  if (token_address_parse(text, &a) == ERR_OK)
    free(a.host);
  free(copy);
  free(text);
  return 0;
}
