/* Disks: folders, files and pipes, how much room there is, and what a loss of power leaves: of a file what was synced and perhaps some of what was not, of a folder's changes that were not synced the first ones. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { INODE_BYTES = 256, BLOCK = 64, ENTRIES_STEP = 8 };

enum { UNDO_ADD, UNDO_REMOVE, UNDO_RENAME, UNDO_SWAP };
struct undo {
  struct undo *before;
  int what;
  char name[40], from[40];
  struct node *node; /* removed or replaced; may be NULL */
};

struct node *node_new(struct host *h, enum node_kind kind)
{
  struct node *n = xcalloc(1, sizeof *n);

  n->kind = kind;
  n->host = h;
  n->refs = 1;
  list_init(&n->all);
  if (h)
    list_push(&h->nodes, &n->all);
  return n;
}

static void drop_undo(struct node *n)
{
  while (n->undo) {
    struct undo *u = n->undo;
    n->undo = u->before;
    if (u->node) {
      u->node->undos--;
      node_unref(u->node);
    }
    free(u);
  }
}

void node_unref(struct node *n)
{
  if (--n->refs)
    return;
  drop_undo(n);
  for (int i = 0; i < n->nentries; i++)
    node_unref(n->entries[i].node);
  list_remove(&n->all);
  free(n->entries);
  free(n->data);
  free(n->safe);
  free(n);
}

static struct entry *find(const struct node *folder, const char *name)
{
  for (int i = 0; i < folder->nentries; i++)
    if (!strcmp(folder->entries[i].name, name))
      return &folder->entries[i];
  return NULL;
}

struct node *node_find(const struct node *folder, const char *name)
{
  struct entry *e = folder->kind == NODE_FOLDER ? find(folder, name) : NULL;

  return e ? e->node : NULL;
}

/* A file has whole blocks. */
static int64_t blocks(size_t len) { return (int64_t)((len + BLOCK - 1) / BLOCK) * BLOCK; }

int64_t disk_used(const struct host *h)
{
  int64_t n = 0;

  list_each(it, &h->nodes) {
    const struct node *x = list_of(it, struct node, all);
    if (x->refs > x->undos)
      n += INODE_BYTES + (x->kind == NODE_FILE ? blocks(x->len) : 0);
  }
  return n;
}

int disk_moments;
bool disk_no_acks;

bool disk_takes(struct host *h)
{
  if (self && disk_moments && !chance((uint64_t)disk_moments)) {
    trace("a disk is full for a moment", h->n, 0);
    return false;
  }
  return disk_used(h) + INODE_BYTES <= h->disk_max;
}

/* ---- folders ---- */

static void put_entry(struct node *folder, const char *name, struct node *n)
{
  if (folder->nentries % ENTRIES_STEP == 0)
    folder->entries = xrealloc(folder->entries, (size_t)(folder->nentries + ENTRIES_STEP) * sizeof *folder->entries);
  assert(strlen(name) < sizeof folder->entries->name);
  snprintf(folder->entries[folder->nentries].name, sizeof folder->entries->name, "%s", name);
  folder->entries[folder->nentries++].node = n;
}

/* The reference is the caller's. */
static struct node *take_entry(struct node *folder, const char *name)
{
  struct entry *e = find(folder, name);
  struct node *n = e->node;

  memmove(e, e + 1, (size_t)(folder->entries + folder->nentries - (e + 1)) * sizeof *e);
  folder->nentries--;
  return n;
}

static void note(struct node *folder, int what, const char *name, const char *from, struct node *n)
{
  struct undo *u = xcalloc(1, sizeof *u);

  *u = (struct undo){ .before = folder->undo, .what = what, .node = n };
  if (n)
    n->undos++;
  snprintf(u->name, sizeof u->name, "%s", name);
  snprintf(u->from, sizeof u->from, "%s", from);
  folder->undo = u;
}

int disk_add(struct node *folder, const char *name, struct node *n)
{
  if (find(folder, name))
    return EEXIST;
  n->refs++;
  put_entry(folder, name, n);
  note(folder, UNDO_ADD, name, "", NULL);
  return 0;
}

int disk_remove(struct node *folder, const char *name)
{
  struct node *n = node_find(folder, name);

  if (!n)
    return ENOENT;
  if (n->nentries)
    return ENOTEMPTY;
  note(folder, UNDO_REMOVE, name, "", take_entry(folder, name));
  return 0;
}

int disk_rename(struct node *folder, const char *from, const char *to)
{
  struct node *n = node_find(folder, from), *old = node_find(folder, to);

  if (!n)
    return ENOENT;
  if (old && old->kind == NODE_FOLDER && old->nentries)
    return ENOTEMPTY;
  if (old)
    (void)take_entry(folder, to);
  put_entry(folder, to, take_entry(folder, from));
  note(folder, UNDO_RENAME, to, from, old);
  return 0;
}

static void swap(struct node *folder, const char *a, const char *b)
{
  struct entry *x = find(folder, a), *y = find(folder, b);
  struct node *n = x->node;

  x->node = y->node;
  y->node = n;
}

int disk_swap(struct node *folder, const char *a, const char *b)
{
  if (!find(folder, a) || !find(folder, b))
    return ENOENT;
  swap(folder, a, b);
  note(folder, UNDO_SWAP, a, b, NULL);
  return 0;
}

static void undo_one(struct node *folder)
{
  struct undo *u = folder->undo;

  folder->undo = u->before;
  if (u->node)
    u->node->undos--;
  switch (u->what) {
  case UNDO_ADD:
    node_unref(take_entry(folder, u->name));
    break;
  case UNDO_REMOVE:
    put_entry(folder, u->name, u->node);
    break;
  case UNDO_SWAP:
    swap(folder, u->name, u->from);
    break;
  default:
    put_entry(folder, u->from, take_entry(folder, u->name));
    if (u->node)
      put_entry(folder, u->name, u->node);
  }
  free(u);
}

/* ---- files ---- */

int disk_breaks;

/* What is there now stays if the power goes. */
int disk_sync(struct node *n)
{
  if (self && disk_breaks && !chance((uint64_t)disk_breaks)) {
    trace("a disk does not sync", n->host->n, 0);
    excuse(self);
    return EIO;
  }
  if (n->kind == NODE_FOLDER)
    drop_undo(n);
  if (!n->dirty)
    return 0;
  free(n->safe);
  n->safe = NULL;
  n->dirty = false;
  return 0;
}

/* Before the first change since it was synced. */
static void soil(struct node *n)
{
  if (n->dirty || n->kind != NODE_FILE)
    return;
  n->safe = xmemdup(n->data ? n->data : "", n->len);
  n->safe_len = n->len;
  n->dirty = true;
}

ssize_t disk_write(struct node *n, size_t at, const void *p, size_t len)
{
  if (n->kind == NODE_FILE && n->host && at + len > n->len) {
    int64_t room = n->host->disk_max - disk_used(n->host), most = blocks(n->len) + (room > 0 ? room / BLOCK * BLOCK : 0); /* it may grow up to there */
    if ((int64_t)(at + len) > most) {
      if ((int64_t)at >= most) {
        errno = ENOSPC;
        return -1;
      }
      len = (size_t)most - at;
    }
  }
  soil(n);
  if (at + len > n->cap) {
    n->cap = (at + len) * 2;
    n->data = xrealloc(n->data, n->cap);
  }
  if (at > n->len)
    memset(n->data + n->len, 0, at - n->len);
  memcpy(n->data + at, p, len);
  n->len = at + len > n->len ? at + len : n->len;
  return (ssize_t)len;
}

void disk_truncate(struct node *n, size_t len)
{
  if (n->len == len)
    return;
  soil(n);
  if (len > n->len && len > n->cap) {
    n->cap = len;
    n->data = xrealloc(n->data, n->cap);
  }
  if (len > n->len)
    memset(n->data + n->len, 0, len - n->len);
  n->len = len;
}

/* ---- the power ---- */

/* As it was, or with some of what was written since: cut anywhere, or with nothing where bytes should be. */
static void lose(struct node *n)
{
  size_t from;

  if (!n->dirty)
    return;
  if (chance_of(40)) { /* nothing of it */
    free(n->data);
    n->data = n->safe;
    n->len = n->cap = n->safe_len;
  } else {
    if (n->len > n->safe_len) {
      from = n->safe_len + chance(n->len - n->safe_len + 1);
      if (chance_of(50))
        n->len = from;
      else if (chance_of(50)) /* some of it came to the disk later than what is behind it */
        memset(n->data + from, 0, chance_of(50) ? n->len - from : chance(n->len - from + 1));
    }
    free(n->safe);
  }
  n->safe = NULL;
  n->dirty = false;
}

void disk_power_loss(struct host *h)
{
  list_each(it, &h->nodes)
    list_of(it, struct node, all)->refs++;
  list_each(it, &h->nodes) {
    struct node *n = list_of(it, struct node, all);
    while (n->undo && chance_of(50))
      undo_one(n);
    drop_undo(n);
    lose(n);
  }
  for (struct list *it = h->nodes.next, *next; it != &h->nodes; it = next) {
    next = it->next;
    node_unref(list_of(it, struct node, all)); /* its entries still have their own from above, so `next` stays */
  }
}
