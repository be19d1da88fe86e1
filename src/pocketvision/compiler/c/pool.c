/* Threads: a few that wait for work, spinning for a short while before they sleep. */
#ifdef PV_THREADS
#include <pthread.h>
#include <sched.h>
#if defined(__x86_64__)
#define pv_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pv_pause() __asm__ volatile("yield")
#else
#define pv_pause() ((void)0)
#endif
#define PV_SPINS 2000   /* some tens of microseconds: longer than most steps differ */
#define PV_LINGER 20000 /* after a run, before a thread sleeps */

typedef struct pv_pool {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  pthread_t threads[PV_MAX_THREADS];
  int32_t started, stop;
  uint32_t run; /* counts runs: a thread works when it changes */
  int32_t arrived;
  uint32_t phase; /* counts meetings */
} pv_pool;

static int32_t pv_claim(int32_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }

/* Every thread waits here for the others. */
static void pv_meet_pool(pv_pool *p, int n) {
  uint32_t phase = __atomic_load_n(&p->phase, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&p->arrived, 1, __ATOMIC_ACQ_REL) == n) {
    __atomic_store_n(&p->arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->phase, phase + 1, __ATOMIC_RELEASE);
    return;
  }
  for (int spins = 0; __atomic_load_n(&p->phase, __ATOMIC_ACQUIRE) == phase; spins++) {
    if (spins < PV_SPINS) pv_pause();
    else sched_yield();
  }
}
static void pv_meet(pv_thread *th);
static void pv_run_all(pv_thread *th);
#else
typedef struct pv_pool { int none; } pv_pool;
static int32_t pv_claim(int32_t *next) { return (*next)++; }
static void pv_meet(pv_thread *th) { (void)th; }
#endif
