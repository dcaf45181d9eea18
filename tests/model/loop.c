/* Loops and clocks of the model. A loop whose data is `mark` is one: its timers and idles are kept here, and run when the model says so. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/model.h"

enum { HANDLES_MAX = 512 };

struct held {
  uv_handle_t *h;
  bool active, closing;
  uint64_t due, repeat;
  uv_close_cb gone;
};

static struct held all[HANDLES_MAX];
static int nall;
static int mark;
int64_t model_now_ms;
bool model_time_on;

int __real_uv_timer_init(uv_loop_t *l, uv_timer_t *t);
int __real_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat);
int __real_uv_timer_stop(uv_timer_t *t);
int __real_uv_idle_init(uv_loop_t *l, uv_idle_t *t);
int __real_uv_idle_start(uv_idle_t *t, uv_idle_cb cb);
int __real_uv_idle_stop(uv_idle_t *t);
void __real_uv_close(uv_handle_t *h, uv_close_cb cb);
int __real_uv_is_active(const uv_handle_t *h);
uint64_t __real_uv_now(const uv_loop_t *l);
int64_t __real_clock_mono_ms(void);
int64_t __real_clock_boot_ms(void);
int64_t __real_clock_wall_ms(void);
int64_t __real_clock_mono_us(void);
int __wrap_uv_timer_init(uv_loop_t *l, uv_timer_t *t);
int __wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat);
int __wrap_uv_timer_stop(uv_timer_t *t);
int __wrap_uv_idle_init(uv_loop_t *l, uv_idle_t *t);
int __wrap_uv_idle_start(uv_idle_t *t, uv_idle_cb cb);
int __wrap_uv_idle_stop(uv_idle_t *t);
void __wrap_uv_close(uv_handle_t *h, uv_close_cb cb);
int __wrap_uv_is_active(const uv_handle_t *h);
uint64_t __wrap_uv_now(const uv_loop_t *l);
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_mono_us(void);

static bool ours(const uv_loop_t *l)
{
  return l->data == &mark;
}

static struct held *held_of(const uv_handle_t *h)
{
  for (int i = 0; i < nall; i++)
    if (all[i].h == h)
      return &all[i];
  assert(!"a handle that was never begun, or is closed");
  return NULL;
}

static int begin(uv_loop_t *l, uv_handle_t *h, uv_handle_type type)
{
  assert(nall < HANDLES_MAX);
  h->loop = l;
  h->type = type;
  all[nall++] = (struct held){ .h = h };
  return 0;
}

int __wrap_uv_timer_init(uv_loop_t *l, uv_timer_t *t)
{
  return ours(l) ? begin(l, (uv_handle_t *)t, UV_TIMER) : __real_uv_timer_init(l, t);
}

int __wrap_uv_idle_init(uv_loop_t *l, uv_idle_t *t)
{
  return ours(l) ? begin(l, (uv_handle_t *)t, UV_IDLE) : __real_uv_idle_init(l, t);
}

int __wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat)
{
  struct held *x;

  if (!ours(t->loop))
    return __real_uv_timer_start(t, cb, ms, repeat);
  x = held_of((uv_handle_t *)t);
  assert(!x->closing);
  t->timer_cb = cb;
  x->active = true;
  x->due = (uint64_t)model_now_ms + ms;
  x->repeat = repeat;
  return 0;
}

int __wrap_uv_timer_stop(uv_timer_t *t)
{
  if (!ours(t->loop))
    return __real_uv_timer_stop(t);
  held_of((uv_handle_t *)t)->active = false;
  return 0;
}

int __wrap_uv_idle_start(uv_idle_t *t, uv_idle_cb cb)
{
  struct held *x;

  if (!ours(t->loop))
    return __real_uv_idle_start(t, cb);
  x = held_of((uv_handle_t *)t);
  assert(!x->closing);
  t->idle_cb = cb;
  x->active = true;
  return 0;
}

int __wrap_uv_idle_stop(uv_idle_t *t)
{
  if (!ours(t->loop))
    return __real_uv_idle_stop(t);
  held_of((uv_handle_t *)t)->active = false;
  return 0;
}

void __wrap_uv_close(uv_handle_t *h, uv_close_cb cb)
{
  struct held *x;

  if (!ours(h->loop)) {
    __real_uv_close(h, cb);
    return;
  }
  x = held_of(h);
  assert(!x->closing);
  x->active = false;
  x->closing = true;
  x->gone = cb;
}

int __wrap_uv_is_active(const uv_handle_t *h)
{
  return ours(h->loop) ? held_of(h)->active : __real_uv_is_active(h);
}

uint64_t __wrap_uv_now(const uv_loop_t *l)
{
  return ours(l) ? (uint64_t)model_now_ms : __real_uv_now(l);
}

int64_t __wrap_clock_mono_ms(void) { return model_time_on ? model_now_ms : __real_clock_mono_ms(); }
int64_t __wrap_clock_boot_ms(void) { return model_time_on ? model_now_ms : __real_clock_boot_ms(); }
int64_t __wrap_clock_wall_ms(void) { return model_time_on ? MODEL_WALL_MS + model_now_ms : __real_clock_wall_ms(); }
int64_t __wrap_clock_mono_us(void) { return model_time_on ? model_now_ms * 1000 : __real_clock_mono_us(); }

void loop_begin(uv_loop_t *loop)
{
  memset(loop, 0, sizeof *loop);
  loop->data = &mark;
}

int loop_handles(const uv_loop_t *loop)
{
  int n = 0;

  for (int i = 0; i < nall; i++)
    n += all[i].h->loop == loop;
  return n;
}

static bool due(const struct held *x)
{
  return x->closing || (x->active && (x->h->type == UV_IDLE || x->due <= (uint64_t)model_now_ms));
}

bool loop_has(uv_loop_t *loop)
{
  for (int i = 0; i < nall; i++)
    if (all[i].h->loop == loop && due(&all[i]))
      return true;
  return false;
}

static void forget(int at)
{
  memmove(all + at, all + at + 1, (size_t)(--nall - at) * sizeof *all);
}

static void fire(int at)
{
  struct held x = all[at];

  if (x.closing) {
    forget(at);
    if (x.gone)
      x.gone(x.h);
  } else if (x.h->type == UV_IDLE) {
    ((uv_idle_t *)x.h)->idle_cb((uv_idle_t *)x.h);
  } else {
    all[at].active = x.repeat > 0;
    all[at].due = (uint64_t)model_now_ms + x.repeat;
    ((uv_timer_t *)x.h)->timer_cb((uv_timer_t *)x.h);
  }
}

/* One of those that are due: any order of them may be. */
void loop_turn(uv_loop_t *loop)
{
  int found[HANDLES_MAX], n = 0;

  for (int i = 0; i < nall; i++)
    if (all[i].h->loop == loop && due(&all[i]))
      found[n++] = i;
  if (n)
    fire(found[chance((uint64_t)n)]);
}

void loop_end(uv_loop_t *loop)
{
  for (int i = nall - 1; i >= 0; i--)
    if (all[i].h->loop == loop && !all[i].closing)
      assert(!"something was not closed");
  while (loop_has(loop))
    loop_turn(loop);
}
