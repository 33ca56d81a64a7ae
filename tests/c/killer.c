/* killer: see killer.h.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifdef __x86_64__
#define KL_ARCH 1
#elif defined(__aarch64__)
#define KL_ARCH 1
#include <elf.h>
#include <linux/ptrace.h>
#else
#define KL_ARCH 0
#endif

kl_count kl_counted;

/* ---- one stepped actor ---------------------------------------------------- */

kl_ctl *kl_ctl_get(unsigned i)
{
	static kl_ctl *all;
	if (!all)
		all = h_shared(8 * sizeof *all);
	return &all[i];
}

void kl_note(kl_ctl *ctl, uint64_t v)
{
	CHECK(ctl->n < KL_NOTES);
	ctl->note[ctl->n] = v;
	ctl->n = ctl->n + 1;
}

static void wait_stop(kl *k)
{
	int st;
	pid_t r;
	while ((r = waitpid(k->pid, &st, __WALL)) < 0 && errno == EINTR)
		;
	CHECK(r == k->pid);
	if (!WIFSTOPPED(st)) {
		fprintf(stderr, "stepped actor ended: status %x\n", st);
		CHECK(!"the stepped actor ended");
	}
	int sig = WSTOPSIG(st);
	if (sig != SIGTRAP && sig != SIGSTOP) {
		fprintf(stderr, "stepped actor: signal %d\n", sig);
		CHECK(!"the stepped actor met a signal");
	}
}

void kl_spawn(kl *k, mp_self *me, unsigned ctl, kl_op *op)
{
	*k = (kl){ .ctl = kl_ctl_get(ctl) };
	memset((void *)k->ctl, 0, sizeof *k->ctl);
	k->pid = h_fork(me, &k->aid);
	if (k->pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		syscall(SYS_kill, getpid(), SIGSTOP);
		k->ctl->phase = 1;
		op(me, k->ctl);
		k->ctl->phase = 2;
		if (!k->ctl->free)
			syscall(SYS_kill, getpid(), SIGSTOP);
		syscall(SYS_exit_group, 0);
	}
	wait_stop(k);
	while (k->ctl->phase == 0) {
		CHECK(ptrace(PTRACE_SINGLESTEP, k->pid, NULL, NULL) == 0);
		wait_stop(k);
	}
}

#ifdef __x86_64__
static uint64_t get_pc(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid,
	        offsetof(struct user_regs_struct, rip), NULL);
}

static bool run_to(kl *k, uint64_t addr)
{
	errno = 0;
	long old = ptrace(PTRACE_PEEKTEXT, k->pid, (void *)addr, NULL);
	CHECK(errno == 0);
	long trap = (old & ~0xffL) | 0xcc;
	CHECK(ptrace(PTRACE_POKETEXT, k->pid, (void *)addr, (void *)trap) == 0);
	CHECK(ptrace(PTRACE_CONT, k->pid, NULL, NULL) == 0);
	wait_stop(k);
	CHECK(ptrace(PTRACE_POKETEXT, k->pid, (void *)addr, (void *)old) == 0);
	if (get_pc(k->pid) != addr + 1)
		return false;  /* its end came first */
	CHECK(ptrace(PTRACE_POKEUSER, k->pid,
	             (void *)offsetof(struct user_regs_struct, rip),
	             (void *)addr) == 0);
	return true;
}

/* A repeated string instruction traps after every turn: run over it. The
 * actor is a fork of this process, so its code can be read here. */
static bool over_rep(kl *k)
{
	uint64_t pc = get_pc(k->pid);
	const unsigned char *p = (const unsigned char *)(uintptr_t)pc;
	unsigned n = 1;
	if (p[0] != 0xf3)
		return false;
	if ((p[n] & 0xf0) == 0x40)
		n++;
	if (p[n] != 0xa4 && p[n] != 0xa5 && p[n] != 0xaa && p[n] != 0xab)
		return false;
	run_to(k, pc + n + 1);
	return true;
}
#elif defined(__aarch64__)
static uint64_t get_pc(pid_t pid)
{
	struct user_pt_regs r;
	struct iovec v = { &r, sizeof r };
	CHECK(ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &v) == 0);
	return r.pc;
}

static bool run_to(kl *k, uint64_t addr)
{
	errno = 0;
	long old = ptrace(PTRACE_PEEKTEXT, k->pid, (void *)addr, NULL);
	CHECK(errno == 0);
	long trap = (long)(((uint64_t)old & ~0xffffffffUL) | 0xd4200000UL);
	CHECK(ptrace(PTRACE_POKETEXT, k->pid, (void *)addr, (void *)trap) == 0);
	CHECK(ptrace(PTRACE_CONT, k->pid, NULL, NULL) == 0);
	wait_stop(k);
	CHECK(ptrace(PTRACE_POKETEXT, k->pid, (void *)addr, (void *)old) == 0);
	if (get_pc(k->pid) != addr)
		return false;  /* its end came first */
	return true;
}

/* A single step inside an exclusive pair clears the monitor, so a loop of
 * ldxr and stxr would never end: run to behind the stxr. (Not needed where
 * the compiler calls outline atomics and the machine has LSE.) */
static bool over_rep(kl *k)
{
	uint64_t pc = get_pc(k->pid);
	const uint32_t *p = (const uint32_t *)(uintptr_t)pc;
	if ((*p & 0x3f400000u) != 0x08400000u || (*p & 0x00800000u))
		return false;
	for (unsigned i = 1; i < 16; i++)
		if ((p[i] & 0x3fc00000u) == 0x08000000u) {
			run_to(k, pc + 4 * (i + 1));
			return true;
		}
	return false;
}
#else
static bool over_rep(kl *k) { (void)k; return false; }
static bool run_to(kl *k, uint64_t addr) { (void)k; (void)addr; return false; }
static uint64_t get_pc(pid_t pid) { (void)pid; return 0; }
#endif

static void step1(kl *k)
{
	if (!over_rep(k)) {
		CHECK(ptrace(PTRACE_SINGLESTEP, k->pid, NULL, NULL) == 0);
		wait_stop(k);
	}
	k->steps++;
	kl_counted.steps++;
	if (k->ctl->phase == 2)
		k->done = true;
}

void kl_step(kl *k, unsigned long n)
{
	while (n-- && !k->done)
		step1(k);
}

void kl_kill(kl *k)
{
	if (k->reaped)
		return;
	int st;
	kill(k->pid, SIGKILL);
	CHECK(waitpid(k->pid, &st, __WALL) == k->pid);
	k->reaped = true;
}

void kl_resume(kl *k)
{
	k->ctl->free = 1;
	CHECK(ptrace(PTRACE_DETACH, k->pid, NULL, NULL) == 0);
}

bool kl_ended(kl *k, int64_t ns)
{
	int64_t end = mp_now() + ns;
	for (;;) {
		int st;
		pid_t r = waitpid(k->pid, &st, WNOHANG | __WALL);
		if (r == k->pid) {
			k->reaped = true;
			k->done = k->ctl->phase == 2;
			CHECK_EQ(st, 0);
			return true;
		}
		if (mp_now() > end)
			return false;
		sched_yield();
	}
}

/* The tracer and what it steps on one processor: a switch is cheaper than
 * a wake-up across. */
static void pin(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof set, &set);
}


bool kl_works(void)
{
	/* ASan doubles the instructions and sees nothing new here. */
	if (!KL_ARCH || H_TSAN || (H_ASAN && !h_prove()))
		return false;
	pid_t p = fork();
	if (p == 0) {
		long r = ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		_exit(r == 0 ? 0 : 1);
	}
	int st;
	if (p < 0 || waitpid(p, &st, 0) != p || st != 0)
		return false;
	pin();
	return true;
}

/* ---- which steps change the arena ----------------------------------------- */

/* The tables of the arena are large and sparse: only what is in use. */
enum { REGIONS = 5 };

typedef struct region { uint64_t off, each, n; } region;

static unsigned regions(mp_shm *s, region *r)
{
	mp_header *h = s->h;
	r[0] = (region){ 0, 1, sizeof *h };
	r[1] = (region){ h->slots, sizeof(mp_slot), h->slots_high };
	r[2] = (region){ h->objs, sizeof(mp_obj), h->objs_high };
	r[3] = (region){ h->bits, 16 * h->words, h->objs_high };
	r[4] = (region){ h->chunks, sizeof(mp_chunk), h->chunks_high };
	return REGIONS;
}

static bool differs(char *copy, const char *now, uint64_t n)
{
	if (memcmp(copy, now, n) == 0)
		return false;
	memcpy(copy, now, n);
	return true;
}

static bool shadow_changed(char *copy, mp_shm *s)
{
	region r[REGIONS];
	bool c = false;
	for (unsigned i = 0, n = regions(s, r); i < n; i++)
		c |= differs(copy + r[i].off, s->base + r[i].off, r[i].each * r[i].n);
	for (uint64_t i = 0; i < s->h->chunks_high; i++) {
		uint64_t each = MP_CHUNK_BLOCKS * sizeof(mp_meta);
		uint64_t meta = s->h->meta + i * each;
		uint64_t data = s->h->data + i * MP_CHUNK;
		if ((s->chunks[i].word & 0xff) == 0)
			continue;
		c |= differs(copy + meta, s->base + meta, each);
		c |= differs(copy + data, s->base + data, MP_CHUNK);
	}
	return c;
}

static char *shadow_open(mp_shm *s)
{
	char *copy = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	                  MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(copy != MAP_FAILED);
	shadow_changed(copy, s);
	return copy;
}

static void *grown(void *p, unsigned long n, size_t each)
{
	if (n & (n - 1))  /* a power of two: full */
		return p;
	p = realloc(p, (n ? 2 * n : 1) * each);
	CHECK(p != NULL);
	return p;
}

void kl_record(kl *k, mp_self *me, kl_path *p)
{
	char *copy = shadow_open(me->shm);
	unsigned long n = 0;
	*p = (kl_path){ 0 };
	for (;;) {
		p->pc = grown(p->pc, n, sizeof *p->pc);
		p->pc[n] = get_pc(k->pid);
		if (n == 0 || k->done || shadow_changed(copy, me->shm)) {
			p->point = grown(p->point, p->npoints, sizeof *p->point);
			p->point[p->npoints++] = n;
		}
		if (k->done)
			break;
		step1(k);
		n++;
	}
	p->steps = n;
	munmap(copy, me->shm->size);
}

void kl_forget(kl_path *p)
{
	free(p->pc);
	free(p->point);
}

/* How often the address of step j was met up to it. */
static unsigned long met(const kl_path *p, unsigned long j)
{
	unsigned long n = 0;
	for (unsigned long i = 1; i <= j; i++)
		n += p->pc[i] == p->pc[j];
	return n;
}

/* By breakpoint to a place that is not met often, a little before; then by
 * steps. */
void kl_go(kl *k, const kl_path *p, unsigned long n)
{
	unsigned long best = 0, cost = n, hits = 0;
	if (n > p->steps) {
		kl_step(k, n);
		return;
	}
	for (unsigned long j = n; j > 0 && n - j < cost && n - j < 400; j--) {
		unsigned long c = met(p, j), all = 3 * c + (n - j);
		if (all < cost) {
			cost = all;
			best = j;
			hits = c;
		}
	}
	for (unsigned long i = 0; i < hits && !k->done; i++) {
		if (get_pc(k->pid) == p->pc[best])
			step1(k);
		if (!k->done && !run_to(k, p->pc[best]))
			CHECK_EQ(k->ctl->phase, 2);
		k->done = k->ctl->phase == 2;
		k->steps++;
	}
	kl_step(k, n - best);
	if (k->done != (n == p->steps))
		kl_counted.strayed++;
	if (getenv("MP_WHERE"))  /* for addr2line */
		fprintf(stderr, "actor %x at kl_go%+ld\n", k->aid,
		        (long)(get_pc(k->pid) - (uint64_t)(uintptr_t)kl_go));
}

/* ---- scenes --------------------------------------------------------------- */

void kl_no_setup(mp_self *me) { (void)me; }
void kl_no_check(mp_self *me, const kl_fate *f) { (void)me; (void)f; }

void kl_drop_last(mp_self *me, mp_handle h)
{
	mp_self creator = *me;
	creator.aid = atomic_load(&me->slot->parent);
	mp_obj_drop(&creator, h);
	mp_obj_drop(me, h);
}

void kl_tally(unsigned char *seen, uint64_t n, uint64_t id)
{
	CHECK(id > 0 && id < n);
	CHECK_EQ(seen[id], 0);  /* doubled */
	seen[id] = 1;
}

uint32_t kl_present(const unsigned char *seen, uint32_t from, uint32_t n)
{
	uint32_t c = 0;
	for (uint32_t i = 0; i < n; i++)
		c += seen[from + i];
	return c;
}

enum way { SWEEP, USE_FIRST, PROBE, WAYS };
static const char *const way_names[] = { "swept", "used first", "probed" };

static void bury(mp_self *me, mp_aid aid)
{
	mp_sweep(me, aid);
	CHECK(mp_slot_aid(me->shm, mp_aid_slot(aid)) != aid ||
	      mp_slot_phase(me->shm, aid) == MP_SLOT_FREE);
}

/* The survivor's part, once everybody else is dead or done. */
static void survive(mp_self *me, const kl_scene *s, enum way way, kl_fate f,
                    kl *a, kl *b, const mp_usage *before)
{
	kl_ctl *mine = kl_ctl_get(7);
	memset((void *)mine, 0, sizeof *mine);
	if (way != PROBE) {
		mp_slot_kill(me->shm, a->aid);
		if (b)
			mp_slot_kill(me->shm, b->aid);
	}
	if (way == USE_FIRST && s->use) {
		s->use(me, mine);
		f.used = f.used_first = true;
	}
	if (way == PROBE) {
		mp_sweep_all(me);
		CHECK(mp_slot_phase(me->shm, a->aid) == MP_SLOT_FREE);
	} else if (b && h_random() % 2) {
		bury(me, b->aid);
		bury(me, a->aid);
	} else {
		bury(me, a->aid);
		if (b)
			bury(me, b->aid);
	}
	if (!f.used && s->use) {
		s->use(me, mine);
		f.used = true;
	}
	s->check(me, &f);
	h_audit(me, before);
}

static void kill_at(mp_self *me, const kl_scene *s, const kl_path *p,
                    unsigned long at, enum way way, const mp_usage *before)
{
	kl a;
	h_now("%s: killed after %lu, %s", s->name, at, way_names[way]);
	s->setup(me);
	kl_spawn(&a, me, 0, s->op);
	kl_go(&a, p, at);
	kl_kill(&a);
	kl_counted.kills++;
	survive(me, s, way, (kl_fate){ .done = a.done }, &a, NULL, before);
}

/* What the second actor does. */
static mp_aid second_corpse;
static const kl_scene *second_scene;

static void second_sweep(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_sweep(me, second_corpse);
}

/* at2 == RECORD: the second is stepped to its end, to learn its path. */
#define RECORD (~0ul)

static void kill_two(mp_self *me, const kl_scene *s, const kl_path *p,
                     unsigned long at, unsigned long at2, bool use,
                     kl_path *p2, const mp_usage *before)
{
	kl a, b;
	h_now("%s: killed after %lu, then its %s after %ld", s->name, at,
	      use ? "user" : "sweeper", (long)at2);
	s->setup(me);
	kl_spawn(&a, me, 0, s->op);
	kl_go(&a, p, at);
	kl_kill(&a);
	mp_slot_kill(me->shm, a.aid);
	second_corpse = a.aid;
	kl_spawn(&b, me, 1, use ? s->use : second_sweep);
	if (at2 == RECORD)
		kl_record(&b, me, p2);
	else
		kl_go(&b, p2, at2);
	kl_kill(&b);
	kl_counted.second++;
	survive(me, s, h_random() % WAYS,
	        (kl_fate){ .done = a.done, .second = true,
	                   .second_done = b.done, .second_used = use },
	        &a, &b, before);
}

/* The first is paused, another uses the structure, the first goes on. */
static void pause_at(mp_self *me, const kl_scene *s, const kl_path *p,
                     unsigned long at, const mp_usage *before)
{
	kl a, b;
	h_now("%s: paused after %lu", s->name, at);
	s->setup(me);
	kl_spawn(&a, me, 0, s->op);
	kl_go(&a, p, at);
	kl_spawn(&b, me, 1, s->use);
	kl_resume(&b);
	kl_ended(&b, 2 * MP_MS);  /* it may have to wait for the first */
	kl_resume(&a);
	CHECK(kl_ended(&a, 20 * MP_SEC));
	CHECK(b.reaped || kl_ended(&b, 20 * MP_SEC));
	CHECK(a.done && b.done);
	kl_counted.pauses++;
	survive(me, s, SWEEP,
	        (kl_fate){ .done = true, .alive = true, .second = true,
	                   .second_done = true, .second_used = true },
	        &a, &b, before);
}

/* Every place in one way; in the others as far as there is time. */
static void kills(mp_self *me, const kl_scene *s, const kl_path *p,
                  int64_t end, const mp_usage *before)
{
	unsigned n = h_prove() ? (unsigned)p->steps + 1 : p->npoints;
	for (unsigned turn = 0; turn < WAYS; turn++)
		for (unsigned i = 0; i < n; i++) {
			unsigned long at = h_prove() ? i : p->point[i];
			if (turn && !h_prove() && mp_now() > end)
				return;
			kill_at(me, s, p, at, (i + turn) % WAYS, before);
		}
}

/* MP_PROVE: all pairs of changes; else those of some, while there is time. */
static void doubles(mp_self *me, const kl_scene *s, const kl_path *p,
                    int64_t end, const mp_usage *before)
{
	for (unsigned i = 0; i < p->npoints; i++) {
		bool all = h_prove();
		unsigned long at = p->point[all ? i : h_random() % p->npoints];
		for (int use = 0; use <= (s->use && !s->long_use); use++) {
			kl_path p2;
			kill_two(me, s, p, at, RECORD, use, &p2, before);
			unsigned step = all ? 1 : 1 + p2.npoints / 8;
			unsigned j = (unsigned)(h_random() % step);
			for (; j < p2.npoints; j += step)
				kill_two(me, s, p, at, p2.point[j], use, &p2, before);
			kl_forget(&p2);
		}
		if (!all && mp_now() > end)
			break;
	}
}

/* Just before a change by a few instructions: between a check and its store.
 * MP_PROVE: after every instruction. */
static void pauses(mp_self *me, const kl_scene *s, const kl_path *p,
                   int64_t end, const mp_usage *before)
{
	static const unsigned back[] = { 1, 0, 3, 2, 5, 8 };
	unsigned turns = sizeof back / sizeof *back;
	if (!s->use)
		return;
	for (unsigned long i = 0; h_prove() && i < p->steps; i++)
		pause_at(me, s, p, i, before);
	for (unsigned turn = 0; !h_prove() && turn < turns; turn++)
		for (unsigned i = 1; i < p->npoints; i++) {
			unsigned b = back[(i + turn) % turns];
			if (p->point[i] > b)
				pause_at(me, s, p, p->point[i] - b, before);
			if (mp_now() > end)
				return;
		}
}

/* A second use, after a sweep of its own. */
static void second_use(mp_self *me, kl_ctl *ctl)
{
	mp_sweep(me, second_corpse);
	second_scene->use(me, ctl);
}

/* The first is killed, its sweeper paused; meanwhile another sweeps as well
 * and uses the structure, and the slot becomes somebody else's. A sweeper
 * that goes on must not touch what is not the dead one's any more. */
static void pause_sweeper(mp_self *me, const kl_scene *s, const kl_path *p,
                          unsigned long at, unsigned long at2, bool sweeps,
                          const kl_path *p2, const mp_usage *before)
{
	kl a, b, c;
	mp_self other = { 0 };
	h_now("%s: killed after %lu, its sweeper paused after %lu", s->name, at, at2);
	s->setup(me);
	kl_spawn(&a, me, 0, s->op);
	kl_go(&a, p, at);
	kl_kill(&a);
	mp_slot_kill(me->shm, a.aid);
	second_corpse = a.aid;
	second_scene = s;
	kl_spawn(&b, me, 2, second_sweep);
	kl_go(&b, p2, at2);
	kl_spawn(&c, me, 1, sweeps ? second_use : s->use);
	kl_resume(&c);
	if (kl_ended(&c, 2 * MP_MS) && sweeps) {
		mp_aid aid = mp_slot_reserve(me->shm, me->aid, MP_KIND_THREAD);
		CHECK(aid && mp_slot_enter(me->shm, aid, &other));
		atomic_store(&other.slot->commit, 1);
	}
	kl_resume(&b);
	CHECK(kl_ended(&b, 20 * MP_SEC));
	CHECK(c.reaped || kl_ended(&c, 20 * MP_SEC));
	CHECK(b.done && c.done);
	if (other.aid) {
		CHECK_EQ(mp_slot_phase(me->shm, other.aid), MP_SLOT_LIVE);
		CHECK_EQ(atomic_load(&other.slot->commit), 1);
		atomic_store(&other.slot->commit, 0);
		h_bury(me, other.aid);
	}
	kl_counted.pauses++;
	h_bury(me, b.aid);
	survive(me, s, SWEEP, (kl_fate){ .done = a.done, .second = true,
	        .second_done = true, .second_used = true, .used_first = !sweeps },
	        &a, &c, before);
}

static void sweepers(mp_self *me, const kl_scene *s, const kl_path *p,
                     int64_t end, const mp_usage *before)
{
	bool all = h_prove();
	if (!s->use)
		return;
	for (unsigned i = 0; i < p->npoints; i++) {
		unsigned long at = p->point[all ? i : h_random() % p->npoints];
		kl_path p2;
		kill_two(me, s, p, at, RECORD, false, &p2, before);
		unsigned step = all ? 1 : 1 + p2.npoints / 8;
		for (unsigned j = (unsigned)(h_random() % step); j < p2.npoints; j += step)
			for (unsigned b = 0; b < (all ? 4 : 1); b++) {
				unsigned back = all ? b : (unsigned)(h_random() % 4);
				if (p2.point[j] >= back)
					pause_sweeper(me, s, p, at, p2.point[j] - back,
					              h_random() % 2, &p2, before);
			}
		kl_forget(&p2);
		if (!all && mp_now() > end)
			break;
	}
}

/* MP_PHASES=kdps: kills, double kills, pauses, paused sweepers. */
static bool phase(char c)
{
	const char *e = getenv("MP_PHASES");
	return !e || strchr(e, c);
}

void kl_play(mp_self *me, const kl_scene *s, double seconds)
{
	mp_usage before;
	kl_path p;
	kl a;
	int64_t ns = (int64_t)(seconds * 1e9), start = mp_now();
	kl_count c = kl_counted;
	const char *only = getenv("MP_SCENE");
	if (only && !strstr(s->name, only))
		return;
	h_settle(me, &before);
	for (int i = 0; i < 2; i++) {  /* once to warm up */
		h_now("%s: recorded", s->name);
		s->setup(me);
		kl_spawn(&a, me, 0, s->op);
		kl_record(&a, me, &p);
		kl_kill(&a);
		survive(me, s, SWEEP, (kl_fate){ .done = true }, &a, NULL, &before);
		if (i == 0)
			kl_forget(&p);
	}
	kl_counted.scenes++;
	if (phase('k'))
		kills(me, s, &p, start + ns * 4 / 10, &before);
	/* To record a sweep takes long: of a part of the scenes each time. */
	bool lucky = h_prove() || only || h_random() % 3 == 0;
	if (lucky && phase('d'))
		doubles(me, s, &p, mp_now() + ns * 3 / 10, &before);
	if (phase('p'))
		pauses(me, s, &p, mp_now() + ns * 2 / 10, &before);
	if (lucky && phase('s'))
		sweepers(me, s, &p, mp_now() + ns * 2 / 10, &before);
	if (getenv("MP_VERBOSE"))
		fprintf(stderr, "%-32s %5lu instructions, %3u changes, %.1f s: "
		        "%lu kills, %lu double, %lu pauses, %lu steps, %lu strayed\n",
		        s->name, p.steps, p.npoints, (double)(mp_now() - start) / 1e9,
		        kl_counted.kills - c.kills, kl_counted.second - c.second,
		        kl_counted.pauses - c.pauses, kl_counted.steps - c.steps,
		        kl_counted.strayed - c.strayed);
	kl_forget(&p);
}

void kl_summary(char *text, size_t n)
{
	snprintf(text, n, "%lu operations, %lu kills, %lu double kills, "
	         "%lu pauses; nothing lost, doubled or leaked",
	         kl_counted.scenes, kl_counted.kills, kl_counted.second,
	         kl_counted.pauses);
}

int kl_main(const kl_plan *plan)
{
	mp_shm shm;
	mp_self me;
	char text[160];
	h_deadline(plan->deadline ? plan->deadline : 90, 7200);
	h_seed(0);
	if (!kl_works())
		return H_SKIP;
	h_open(&shm, &me, plan->memory ? plan->memory : 2 << 20, 8);
	h_ballast(&me);
	for (size_t i = 0; i < plan->n; i++)
		kl_play(&me, &plan->scenes[i], plan->seconds);
	if (plan->more)
		plan->more(&me);
	kl_summary(text, sizeof text);
	return h_done("%s", text);
}
