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
  m->pool = NULL;
}

static int pv_start(pv_context *m, pv_pool *p) {
  if (m->n_threads == 1) return PV_CODE(OK);
  if (pthread_mutex_init(&p->lock, NULL)) return PV_CODE(NO_THREAD);
  if (pthread_cond_init(&p->wake, NULL)) {
    pthread_mutex_destroy(&p->lock);
    return PV_CODE(NO_THREAD);
  }
  m->pool = p;
  for (int i = 1; i < m->n_threads; i++) {
    if (pthread_create(&p->threads[i], NULL, pv_worker, &m->threads[i])) {
      pv_stop(m);
      return PV_CODE(NO_THREAD);
    }
    p->started = i;
  }
  return PV_CODE(OK);
}
#else
static int pv_start(pv_context *m, pv_pool *p) {
  (void)m;
  (void)p;
  return PV_CODE(OK);
}
static void pv_stop(pv_context *m) { (void)m; }
#endif

/* ---- the functions of model.h ---- */

typedef struct { /* what is not the arena */
  pv_context context;
  pv_pool pool;
} pv_whole;

#define PV_ALIGNED(bytes) (((size_t)(bytes) + 63) / 64 * 64)

static void *pv_align(void *p) {
  return (unsigned char *)p + (64 - (uintptr_t)p % 64) % 64;
}

static size_t pv_arena_bytes(int threads) {
  return ((size_t)PV_SHARED + (size_t)threads * (PV_OWN + PV_PANEL)) * sizeof(float);
}

static int pv_threads_used(int threads) {
#ifdef PV_THREADS
  return threads;
#else
  return threads > 1 ? 1 : threads;
#endif
}

/* As the weights' maker computed it: a sum over words, each mixed with its place. */
static uint64_t pv_checksum(const unsigned char *p, size_t words) {
  uint64_t sum = 0;
  for (size_t i = 0; i < words; i++, p += 4) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    uint64_t x = (word ^ (i + 1) * UINT64_C(0x9E3779B97F4A7C15)) * UINT64_C(0xFF51AFD7ED558CCD);
    sum += x ^ x >> 32;
  }
  return sum;
}

static int pv_cpu_fits(void) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return 0;
#endif
#if defined(__AVX512VL__)
  if (!__builtin_cpu_supports("avx512vl")) return 0;
#endif
#if defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2")) return 0;
#endif
#if defined(__FMA__)
  if (!__builtin_cpu_supports("fma")) return 0;
#endif
#endif
  return 1;
}

static int pv_checked(const void *out, const void *weights, size_t bytes, int threads) {
  if (out == NULL || weights == NULL) return PV_CODE(NULL_POINTER);
  if (threads < 1 || threads > PV_MAX_THREADS) return PV_CODE(BAD_THREADS);
  if (!pv_cpu_fits()) return PV_CODE(WRONG_CPU);
  if ((uintptr_t)weights % 64 != 0) return PV_CODE(UNALIGNED);
  if (bytes != (size_t)PV_WEIGHTS * sizeof(float)) return PV_CODE(WRONG_WEIGHTS);
  if (pv_checksum((const unsigned char *)weights, PV_WEIGHTS) != PV_WEIGHTS_SUM)
    return PV_CODE(WRONG_WEIGHTS);
  return PV_CODE(OK);
}

size_t PV_NAME(memory)(int threads) {
  if (threads < 1 || threads > PV_MAX_THREADS) return 0;
  return PV_ALIGNED(sizeof(pv_whole)) + pv_arena_bytes(pv_threads_used(threads)) + 64;
}

/* A model in memory that is large enough, of weights that were checked. */
static int pv_create_in(pv_context **out, void *memory, const void *weights, int threads) {
  pv_whole *whole = (pv_whole *)pv_align(memory);
  pv_context *m = &whole->context;
  memset(whole, 0, sizeof *whole);
  m->arena = (float *)(void *)((unsigned char *)whole + PV_ALIGNED(sizeof *whole));
  m->weights = (const float *)weights;
  m->n_threads = pv_threads_used(threads);
  memset(m->arena, 0, pv_arena_bytes(m->n_threads));
  for (int i = 0; i < m->n_threads; i++) {
    pv_thread *th = &m->threads[i];
    th->context = m;
    th->index = i;
    th->own = m->arena + PV_SHARED + (int64_t)i * (PV_OWN + PV_PANEL);
    th->panel = th->own + PV_OWN;
  }
  int code = pv_start(m, &whole->pool);
  if (code == PV_CODE(OK)) *out = m;
  return code;
}

int PV_NAME(create_in)(PV_NAME(t) **out, void *memory, size_t memory_bytes, const void *weights,
                       size_t bytes, int threads) {
  if (out != NULL) *out = NULL;
  int code = pv_checked(out, weights, bytes, threads);
  if (code) return code;
  if (memory == NULL) return PV_CODE(NULL_POINTER);
  if (memory_bytes < PV_NAME(memory)(threads)) return PV_CODE(SMALL_MEMORY);
  return pv_create_in(out, memory, weights, threads);
}

int PV_NAME(create)(PV_NAME(t) **out, const void *weights, size_t bytes, int threads) {
  if (out != NULL) *out = NULL;
  int code = pv_checked(out, weights, bytes, threads);
  if (code) return code;
  void *memory = malloc(PV_NAME(memory)(threads));
  if (memory == NULL) return PV_CODE(NO_MEMORY);
  code = pv_create_in(out, memory, weights, threads);
  if (code) free(memory);
  else (*out)->memory = memory;
  return code;
}

int PV_NAME(load)(PV_NAME(t) **out, const char *path, int threads) {
  if (out != NULL) *out = NULL;
  if (out == NULL || path == NULL) return PV_CODE(NULL_POINTER);
#ifdef PV_WASM
  (void)threads;
  return PV_CODE(NO_FILE);
#else
  size_t bytes = (size_t)PV_WEIGHTS * sizeof(float);
  FILE *file = fopen(path, "rb");
  if (file == NULL) return PV_CODE(NO_FILE);
  void *block = malloc(bytes + 64);
  if (block == NULL) {
    fclose(file);
    return PV_CODE(NO_MEMORY);
  }
  void *weights = pv_align(block);
  size_t got = fread(weights, 1, bytes, file);
  int code = PV_CODE(OK), more = fgetc(file) != EOF;
  if (ferror(file)) code = PV_CODE(NO_FILE);
  else if (got != bytes || more) code = PV_CODE(WRONG_WEIGHTS);
  fclose(file);
  if (code == PV_CODE(OK)) code = PV_NAME(create)(out, weights, bytes, threads);
  if (code) free(block);
  else (*out)->loaded = block;
  return code;
#endif
}

int PV_NAME(run)(PV_NAME(t) *m, const float *const *inputs, float *const *outputs) {
  if (m == NULL || inputs == NULL || outputs == NULL) return PV_CODE(NULL_POINTER);
  for (int i = 0; i < PV_INPUTS; i++)
    if (inputs[i] == NULL) return PV_CODE(NULL_POINTER);
  for (int i = 0; i < PV_OUTPUTS; i++)
    if (outputs[i] == NULL) return PV_CODE(NULL_POINTER);
  m->inputs = inputs;
  m->outputs = outputs;
  memset(m->next, 0, (size_t)m->n_threads * sizeof m->next[0]);
#ifdef PV_THREADS
  if (m->n_threads > 1) pv_wake(m->pool);
#endif
  pv_run_all(&m->threads[0]);
  pv_meet(&m->threads[0]);
  return PV_CODE(OK);
}

void PV_NAME(destroy)(PV_NAME(t) *m) {
  if (m == NULL) return;
  void *memory = m->memory, *loaded = m->loaded;
  pv_stop(m);
  free(loaded);
  free(memory);
}

size_t PV_NAME(input_size)(int input) {
  static const size_t sizes[] = PV_INPUT_SIZES;
  return input < 0 || input >= PV_INPUTS ? 0 : sizes[input];
}

size_t PV_NAME(output_size)(int output) {
  static const size_t sizes[] = PV_OUTPUT_SIZES;
  return output < 0 || output >= PV_OUTPUTS ? 0 : sizes[output];
}

const char *PV_NAME(error)(int code) {
  switch (code) {
    case PV_CODE(OK): return "no error";
    case PV_CODE(NULL_POINTER): return "a pointer is null";
    case PV_CODE(WRONG_WEIGHTS):
      return "the weights are of another network, damaged or cut short";
    case PV_CODE(UNALIGNED): return "the weights do not begin at a multiple of 64 bytes";
    case PV_CODE(BAD_THREADS): return "the number of threads is below 1 or too large";
    case PV_CODE(NO_MEMORY): return "there is not enough memory";
    case PV_CODE(NO_THREAD): return "a thread cannot be started";
    case PV_CODE(NO_FILE): return "the file of weights cannot be read";
    case PV_CODE(WRONG_CPU):
      return "this processor lacks instructions that the library was compiled for";
    case PV_CODE(BAD_IMAGE): return "a side of the image is below 1 or too large";
    case PV_CODE(SMALL_MEMORY): return "the memory is smaller than the model needs";
    default: return "unknown code";
  }
}
