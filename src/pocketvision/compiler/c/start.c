#ifdef PV_THREADS
static void pv_meet(pv_thread *th) {
  if (th->context->n_threads > 1) pv_meet_pool(th->context->pool, th->context->n_threads);
}

static void *pv_worker(void *given) {
  pv_thread *th = (pv_thread *)given;
  pv_pool *p = th->context->pool;
  uint32_t seen = 0;
  for (;;) {
    for (int i = 0; i < PV_LINGER && __atomic_load_n(&p->run, __ATOMIC_ACQUIRE) == seen; i++)
      pv_pause();
    if (__atomic_load_n(&p->run, __ATOMIC_ACQUIRE) == seen) {
      pthread_mutex_lock(&p->lock);
      while (__atomic_load_n(&p->run, __ATOMIC_ACQUIRE) == seen) pthread_cond_wait(&p->wake, &p->lock);
      pthread_mutex_unlock(&p->lock);
    }
    seen = __atomic_load_n(&p->run, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) return NULL;
    pv_run_all(th);
    pv_meet(th);
  }
}

static void pv_wake(pv_pool *p) {
  pthread_mutex_lock(&p->lock);
  __atomic_add_fetch(&p->run, 1, __ATOMIC_RELEASE);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

static void pv_stop(pv_context *m) {
  pv_pool *p = m->pool;
  if (p == NULL) return;
  __atomic_store_n(&p->stop, 1, __ATOMIC_RELEASE);
  pv_wake(p);
  for (int i = 1; i <= p->started; i++) pthread_join(p->threads[i], NULL);
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->wake);
  free(p);
  m->pool = NULL;
}

static int pv_start(pv_context *m) {
  if (m->n_threads == 1) return 0;
  pv_pool *p = (pv_pool *)calloc(1, sizeof *p);
  if (p == NULL) return PV_NO_MEMORY;
  if (pthread_mutex_init(&p->lock, NULL) || pthread_cond_init(&p->wake, NULL)) {
    free(p);
    return PV_NO_THREAD;
  }
  m->pool = p;
  for (int i = 1; i < m->n_threads; i++) {
    if (pthread_create(&p->threads[i], NULL, pv_worker, &m->threads[i])) {
      pv_stop(m);
      return PV_NO_THREAD;
    }
    p->started = i;
  }
  return 0;
}
#else
static int pv_start(pv_context *m) { (void)m; return 0; }
static void pv_stop(pv_context *m) { (void)m; }
#endif

static int64_t pv_arena_floats(int threads) {
  return (int64_t)PV_SHARED + (int64_t)threads * (PV_OWN + PV_PANEL) + 16;
}

size_t PV_NAME(memory)(int threads) {
  if (threads < 1 || threads > PV_MAX_THREADS) return 0;
  return (size_t)pv_arena_floats(threads) * sizeof(float) + sizeof(pv_context) + 64;
}

int PV_NAME(create)(PV_NAME(t) **out, const void *weights, size_t bytes, int threads) {
  if (out == NULL || weights == NULL) return PV_NULL;
  *out = NULL;
  if (bytes != (size_t)PV_WEIGHTS * sizeof(float)) return PV_WRONG_WEIGHTS;
  if (threads < 1 || threads > PV_MAX_THREADS) return PV_BAD_THREADS;
#ifndef PV_THREADS
  threads = 1;
#endif
  pv_context *m = (pv_context *)calloc(1, sizeof *m);
  if (m == NULL) return PV_NO_MEMORY;
  m->memory = calloc(1, (size_t)pv_arena_floats(threads) * sizeof(float) + 64);
  if (m->memory == NULL) { free(m); return PV_NO_MEMORY; }
  m->arena = (float *)(((uintptr_t)m->memory + 63) & ~(uintptr_t)63);
  m->weights = (const float *)weights;
  m->n_threads = threads;
  for (int i = 0; i < threads; i++) {
    pv_thread *th = &m->threads[i];
    th->context = m;
    th->index = i;
    th->own = m->arena + PV_SHARED + (int64_t)i * (PV_OWN + PV_PANEL);
    th->panel = th->own + PV_OWN;
  }
  int code = pv_start(m);
  if (code) { free(m->memory); free(m); return code; }
  *out = m;
  return 0;
}

int PV_NAME(run)(PV_NAME(t) *m, const float *const *inputs, float *const *outputs) {
  if (m == NULL || inputs == NULL || outputs == NULL) return PV_NULL;
  for (int i = 0; i < PV_INPUTS; i++) if (inputs[i] == NULL) return PV_NULL;
  for (int i = 0; i < PV_OUTPUTS; i++) if (outputs[i] == NULL) return PV_NULL;
  m->inputs = inputs;
  m->outputs = outputs;
  memset(m->next, 0, sizeof m->next);
#ifdef PV_THREADS
  if (m->n_threads > 1) pv_wake(m->pool);
#endif
  pv_run_all(&m->threads[0]);
  pv_meet(&m->threads[0]);
  return 0;
}

void PV_NAME(destroy)(PV_NAME(t) *m) {
  if (m == NULL) return;
  pv_stop(m);
  free(m->memory);
  free(m->loaded);
  free(m);
}
