/* What a proxy in front of the master says about who asked, and by which name. */
#include "master/api/proxy.h"

#include <string.h>
#include <strings.h>

/* A piece of a header. */
struct part {
  const char *s;
  size_t n;
};

/* One element of Forwarded, or an address of X-Forwarded-For. */
struct hop {
  struct part node, proto, host;
};

static bool is_trusted(const struct net_addr *a, const struct net *trusted, int n)
{
  for (int i = 0; i < n; i++)
    if (net_has(&trusted[i], a))
      return true;
  return false;
}

static struct part trimmed(struct part p)
{
  while (p.n && (*p.s == ' ' || *p.s == '\t'))
    p.s++, p.n--;
  while (p.n && (p.s[p.n - 1] == ' ' || p.s[p.n - 1] == '\t'))
    p.n--;
  return p;
}

static bool is(struct part p, const char *word)
{
  return p.n == strlen(word) && !strncasecmp(p.s, word, p.n);
}

/* Cuts the piece up to `end` off the rest; quotes: not within quotes. False: there is none left. */
static bool next_piece(struct part *rest, char end, bool quotes, struct part *piece)
{
  bool inside = false;
  size_t i = 0;

  if (!rest->s)
    return false;
  for (; i < rest->n && (inside || rest->s[i] != end); i++)
    inside ^= quotes && rest->s[i] == '"';
  *piece = trimmed((struct part){ rest->s, i });
  *rest = i < rest->n ? (struct part){ rest->s + i + 1, rest->n - i - 1 } : (struct part){ NULL, 0 };
  return true;
}

static struct part whole(const char *s)
{
  return (struct part){ s, s ? strlen(s) : 0 };
}

/* 192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1], [2001:db8::1]:4711 */
static bool parse_node(struct part p, struct net_addr *out)
{
  const char *end;

  if (!p.n)
    return false;
  if (*p.s == '[') {
    end = memchr(p.s, ']', p.n);
    if (!end || (end + 1 < p.s + p.n && end[1] != ':'))
      return false;
    return !net_addr_parse(p.s + 1, (size_t)(end - p.s - 1), out);
  }
  end = memchr(p.s, ':', p.n);
  if (end && memchr(p.s, '.', (size_t)(end - p.s)))
    p.n = (size_t)(end - p.s);
  return !net_addr_parse(p.s, p.n, out);
}

/* Takes the quotes off; false where there is only one, or something escaped: no address or name needs that. */
static bool unquote(struct part *p)
{
  if (p->n && *p->s == '"') {
    if (p->n < 2 || p->s[p->n - 1] != '"')
      return false;
    p->s++;
    p->n -= 2;
  }
  return !memchr(p->s, '"', p->n) && !memchr(p->s, '\\', p->n);
}

/* for=192.0.2.60;proto=https;host="ci.example.org" */
static bool parse_element(struct part element, struct hop *hop)
{
  struct part pair;

  memset(hop, 0, sizeof *hop);
  while (next_piece(&element, ';', true, &pair)) {
    const char *eq = pair.n ? memchr(pair.s, '=', pair.n) : NULL;
    struct part name, value, *slot;
    if (!pair.n)
      continue;
    if (!eq)
      return false;
    name = (struct part){ pair.s, (size_t)(eq - pair.s) };
    value = (struct part){ eq + 1, pair.n - name.n - 1 };
    slot = is(name, "for") ? &hop->node : is(name, "proto") ? &hop->proto : is(name, "host") ? &hop->host : NULL;
    if (!unquote(&value) || (slot && slot->s))
      return false;
    if (slot)
      *slot = value;
  }
  return true;
}

static void set_names(struct proxy_asked *out, struct part proto, struct part host)
{
  out->scheme = is(proto, "https") ? "https" : is(proto, "http") ? "http" : NULL;
  out->has_host = host.n > 0;
  if (host.n < sizeof out->host && host.n) {
    memcpy(out->host, host.s, host.n);
    out->host[host.n] = 0;
  }
}

/* From left to right, who asked is the last one that is not trusted; behind something that is no address, or at the very start, a trusted one is all that is known.
   *names: the element that has it. */
static struct net_addr walk(const char *list, bool forwarded, const struct net_addr *peer, const struct net *trusted, int ntrusted, struct hop *names)
{
  struct part rest = whole(list), piece;
  struct net_addr found = *peer, a;
  bool unknown = true;

  memset(names, 0, sizeof *names);
  while (next_piece(&rest, ',', forwarded, &piece)) {
    struct hop hop = { .node = piece };
    if (!piece.n)
      continue;
    if ((forwarded && !parse_element(piece, &hop)) || !parse_node(hop.node, &a)) {
      found = *peer;
      memset(names, 0, sizeof *names);
      unknown = true;
    } else if (unknown || !is_trusted(&a, trusted, ntrusted)) {
      found = a;
      *names = hop;
      unknown = false;
    }
  }
  return found;
}

static struct part last(const char *list)
{
  struct part rest = whole(list), piece = { NULL, 0 };

  while (next_piece(&rest, ',', false, &piece))
    ;
  return piece;
}

void proxy_read(const struct proxy_says *says, const struct net_addr *peer, const struct net *trusted, int ntrusted, struct proxy_asked *out)
{
  bool x = says->x_for || says->x_proto || says->x_host;
  struct net_addr by_x, by_forwarded;
  struct hop names, unused;

  memset(out, 0, sizeof *out);
  out->client = *peer;
  if (!is_trusted(peer, trusted, ntrusted) || (!x && !says->forwarded))
    return;
  by_x = walk(says->x_for, false, peer, trusted, ntrusted, &unused);
  by_forwarded = walk(says->forwarded, true, peer, trusted, ntrusted, &names);
  if (x)
    set_names(out, last(says->x_proto), last(says->x_host));
  else
    set_names(out, names.proto, names.host);
  if (!says->x_for)
    out->client = by_forwarded;
  else if (!says->forwarded || !memcmp(&by_x, &by_forwarded, sizeof by_x))
    out->client = by_x;
}
