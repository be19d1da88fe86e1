/* ---- steps ---- */

static void pv_zero_rows(const pv_thread *th, const pv_tensor *t) {
  int blocks = t->pixel == 16 ? (t->c + 15) / 16 : t->c;
  if (!t->local || !t->zeros) return;
  for (int b = 0; b < blocks; b++)
    pv_zero(pv_base(th, t) + (int64_t)b * t->plane + (int64_t)t->slots * t->row, t->row);
}

/* Rows of the input that rows from .. to of a stage's output need. */
PV_INLINE int pv_clip(int y, int h) { return y < 0 ? 0 : y > h ? h : y; }
PV_INLINE int pv_need_from(const pv_stage *s, int from) {
  return pv_clip(from * s->stride_h - s->pad_top, pv_tensors[s->in].h);
}
PV_INLINE int pv_need_to(const pv_stage *s, int to) {
  return pv_clip((to - 1) * s->stride_h - s->pad_top + (s->kernel_h - 1) * s->dilation_h + 1,
                 pv_tensors[s->in].h);
}

#ifdef PV_PROFILE /* seconds of each stage, as the first thread sees them */
#include <time.h>
static double pv_spent[PV_STAGES];
static double pv_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
const double *PV_NAME(profile)(void);
const double *PV_NAME(profile)(void) { return pv_spent; }
#define PV_BEGIN double begin = pv_now()
#define PV_END(stage) if (th->index == 0) pv_spent[stage] += pv_now() - begin
#else
#define PV_BEGIN ((void)0)
#define PV_END(stage) ((void)0)
#endif

/* A chain of stages in bands: each makes the rows that the next one needs, no more. */
static void pv_bands(const pv_thread *th, const pv_step *step, int y0, int y1) {
  const pv_stage *s = &pv_stages[step->first];
  int done[PV_MAX_CHAIN], need[PV_MAX_CHAIN], last = step->count - 1;
  done[last] = y0;
  for (int i = last; i > 0; i--) done[i - 1] = pv_need_from(&s[i], done[i]);
  for (int i = 0; i < last; i++) pv_zero_rows(th, &pv_tensors[s[i].out]);
  for (int y = y0; y < y1; y += step->band) {
    need[last] = y + step->band < y1 ? y + step->band : y1;
    for (int i = last; i > 0; i--) need[i - 1] = pv_need_to(&s[i], need[i]);
    for (int i = 0; i <= last; i++) {
      if (need[i] > done[i]) {
        PV_BEGIN;
        s[i].rows(th, &s[i], done[i], need[i]);
        PV_END(step->first + i);
        done[i] = need[i];
      }
    }
  }
}

/* Units in as many shares as threads. Each thread does its own share first, which is mostly the
   channels that it made in the step before, then helps with the others'. */
static void pv_share_units(const pv_thread *th, const pv_stage *s, int number) {
  int n = th->context->n_threads;
  for (int i = 0; i < n; i++) {
    int share = (th->index + i) % n, from = s->units * share / n, to = s->units * (share + 1) / n;
    for (;;) {
      int u = from + pv_claim(&th->context->next[share][number]);
      if (u >= to) break;
      s->unit(th, s, u);
    }
  }
}

static void pv_step_run(const pv_thread *th, int number) {
  const pv_step *step = &pv_steps[number];
  const pv_stage *s = &pv_stages[step->first];
  if (step->band) {
    int h = pv_tensors[s[step->count - 1].out].h, n = th->context->n_threads;
    pv_bands(th, step, h * th->index / n, h * (th->index + 1) / n);
    return;
  }
  PV_BEGIN;
  if (th->context->n_threads == 1) {
    for (int u = 0; u < s->units; u++) s->unit(th, s, u);
  } else {
    pv_share_units(th, s, number);
  }
  PV_END(step->first);
}

static void pv_run_all(pv_thread *th) {
  for (int i = 0; i < PV_STEPS; i++) {
    pv_step_run(th, i);
    if (i + 1 < PV_STEPS) pv_meet(th);
  }
}
