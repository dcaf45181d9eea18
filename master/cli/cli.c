/* The ways out to a person's terminal: everything is made harmless here. */
#include "master/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/cli/safe.h"

#define LABEL_WIDTH 10
#define LABEL_GAP 2

void out_bytes(struct cli *c, const void *p, size_t n)
{
  if (!n)
    return;
  if (fwrite(p, 1, n, stdout) != n && !c->write_errno)
    c->write_errno = errno;
  c->at_line_start = ((const char *)p)[n - 1] == '\n';
}

static void out_styled(struct cli *c, enum style style, const char *raw)
{
  char *text = safe_line(raw);

  if (c->color)
    fputs(fmt_style_on(style), stdout);
  out_bytes(c, text, strlen(text));
  if (c->color && style != STYLE_NONE)
    fputs(FMT_STYLE_OFF, stdout);
  free(text);
}

void out(struct cli *c, enum style style, const char *fmt, ...)
{
  va_list ap;
  char *raw;

  va_start(ap, fmt);
  raw = xvasprintf(fmt, ap);
  va_end(ap);
  out_styled(c, style, raw);
  free(raw);
}

void out_end(struct cli *c)
{
  out_bytes(c, "\n", 1);
}

void out_label(struct cli *c, enum style style, const char *label)
{
  int pad = LABEL_WIDTH - fmt_width(label);

  out(c, style, "%s", label);
  out(c, STYLE_NONE, "%*s", pad > LABEL_GAP ? pad : LABEL_GAP, "");
}

void out_block(struct cli *c, int indent, const char *text)
{
  while (*text) {
    size_t n = strcspn(text, "\n");
    out(c, STYLE_NONE, "%*s%.*s", indent, "", (int)n, text);
    out_end(c);
    text += n + (text[n] == '\n');
  }
}

void out_flush(struct cli *c)
{
  if (fflush(stdout) && !c->write_errno)
    c->write_errno = errno;
}

/* JSON has no raw control bytes but DEL and C1, which a terminal would obey. */
static void out_json_text(struct cli *c, const char *json, size_t n)
{
  struct safe s;
  struct buf b;

  safe_init(&s, false);
  buf_init(&b, BUF_NO_MAX);
  if (c->tty) {
    safe_add(&s, json, n, &b);
    safe_end(&s, &b);
    out_bytes(c, buf_str(&b), b.len);
  } else {
    out_bytes(c, json, n);
  }
  buf_free(&b);
}

void out_json(struct cli *c)
{
  out_json_text(c, buf_str(&c->text), c->text.len);
  out_fresh_line(c);
}

void out_json_line(struct cli *c, const char *key, const cJSON *value)
{
  char *json = cJSON_PrintUnformatted(value), *line = xasprintf("{\"%s\":%s}\n", key, json ? json : "null");

  out_json_text(c, line, strlen(line));
  out_flush(c);
  free(line);
  free(json);
}

void out_fresh_line(struct cli *c)
{
  if (!c->at_line_start)
    out_end(c);
}

printf_like(2, 0) static void err_line(const char *head, const char *fmt, va_list ap)
{
  char *raw = xvasprintf(fmt, ap), *text = safe_line(raw);

  fflush(stdout);
  fprintf(stderr, "%s%s\n", head, text);
  free(text);
  free(raw);
}

int cli_error(struct cli *c, int code, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  err_line("drover: ", fmt, ap);
  va_end(ap);
  c->code = code;
  return code;
}

void cli_hint(const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  err_line("  ", fmt, ap);
  va_end(ap);
}

int cli_exit_of(int result)
{
  switch (result) {
  case RESULT_SUCCESS:
  case RESULT_WARNINGS:
    return CLI_OK;
  case RESULT_FAILURE:
    return CLI_FAILURE;
  case RESULT_SKIPPED:
  case RESULT_CANCELLED:
    return CLI_CANCELLED;
  default:
    return CLI_EXCEPTION;
  }
}
