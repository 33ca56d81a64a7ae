/* harness: see harness.h.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const mp_type_ops *const types[MP_TYPES] = {
	[MP_T_LOCK] = &mp_lock_ops,
	[MP_T_RLOCK] = &mp_rlock_ops,
	[MP_T_EVENT] = &mp_event_ops,
	[MP_T_CONDITION] = &mp_condition_ops,
	[MP_T_SEMAPHORE] = &mp_semaphore_ops,
	[MP_T_BARRIER] = &mp_barrier_ops,
	[MP_T_VALUE] = &mp_value_ops,
	[MP_T_ARRAY] = &mp_array_ops,
	[MP_T_BUFFER] = &mp_buffer_ops,
	[MP_T_QUEUE] = &mp_queue_ops,
	[MP_T_JOINABLE_QUEUE] = &mp_joinable_queue_ops,
	[MP_T_PIPE] = &mp_pipe_ops,
	[MP_T_DICT] = &mp_dict_ops,
	[MP_T_LIST] = &mp_list_ops,
	[MP_T_FD] = &mp_fd_ops,
};

static char context[256] = "start";
static uint64_t state = 88172645463325252u, seeded;

/* ---- failing -------------------------------------------------------------- */

void h_fail(const char *file, int line, const char *what, int values,
            long long a, long long b)
{
	fprintf(stderr, "%s:%d: %s: pid %d: failed: %s", file, line, context,
	        (int)getpid(), what);
	if (values)
		fprintf(stderr, " (%lld, %lld)", a, b);
	fprintf(stderr, " (MP_SEED=%llu)\n", (unsigned long long)seeded);
	fflush(stderr);
	if (getenv("MP_TEST_ABORT"))
		abort();
	_exit(H_FAIL);
}

void h_now(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(context, sizeof context, fmt, ap);
	va_end(ap);
}

mp_pipe *h_end(mp_self *me, mp_handle h)
{
	mp_pipe *p = mp_pipe_body(me->shm, h);
	CHECK(p != NULL);
	return p;
}

mp_queue *h_in(mp_self *me, mp_handle h) { return mp_pipe_in(h_end(me, h)); }
mp_queue *h_out(mp_self *me, mp_handle h) { return mp_pipe_out(h_end(me, h)); }

int h_done(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	return H_PASS;
}

/* ---- settings ------------------------------------------------------------- */

int h_prove(void)
{
	const char *e = getenv("MP_PROVE");
	return e && *e && *e != '0';
}

void h_deadline(unsigned quick, unsigned prove)
{
	unsigned s = h_prove() ? prove : quick;
	if (H_ASAN || H_TSAN)
		s *= 3;
	if (!getenv("MP_TEST_NO_ALARM"))
		alarm(s);
}

void h_seed(uint64_t seed)
{
	const char *e = getenv("MP_SEED");
	seeded = e ? strtoull(e, NULL, 0) : seed ? seed : (uint64_t)mp_now();
	state = seeded * 0x9e3779b97f4a7c15u + 1;
}

uint64_t h_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* ---- actors --------------------------------------------------------------- */

void h_open(mp_shm *s, mp_self *me, uint64_t memory, uint32_t processes)
{
	const char *why = "";
	mp_shm_config cfg = {
		.memory = memory, .processes = processes, .types = types
	};
	int rc = mp_shm_create(s, &cfg, &why);
	if (rc)
		fprintf(stderr, "mp_shm_create: %d: %s\n", rc, why ? why : "");
	CHECK_EQ(rc, 0);
	mp_aid aid = mp_slot_reserve(s, 0, MP_KIND_PROCESS);
	CHECK(aid != 0);
	CHECK(mp_slot_enter(s, aid, me));
}

pid_t h_fork(mp_self *me, mp_aid *aid)
{
	mp_shm *s = me->shm;
	*aid = mp_slot_reserve(s, me->aid, MP_KIND_PROCESS);
	CHECK(*aid != 0);
	mp_obj_inherit(s, me->aid, *aid);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid) {
		/* Killed before it could enter, it is found by its pid. */
		mp_slot_set_pid(s, *aid, (uint32_t)pid);
		return pid;
	}
	CHECK(mp_slot_enter(s, *aid, me));
	return 0;
}

void h_thread_self(mp_self *me, mp_self *child)
{
	mp_aid aid = mp_slot_reserve(me->shm, me->aid, MP_KIND_THREAD);
	CHECK(aid != 0);
	mp_obj_inherit(me->shm, me->aid, aid);
	CHECK(mp_slot_enter(me->shm, aid, child));
}

void h_exit(int status)
{
	fflush(stderr);
	_exit(status);
}

void h_bury(mp_self *me, mp_aid aid)
{
	mp_slot_kill(me->shm, aid);
	mp_sweep(me, aid);
	CHECK(mp_slot_aid(me->shm, mp_aid_slot(aid)) != aid);
}

int h_join(mp_self *me, pid_t pid, mp_aid aid)
{
	int st = 0;
	CHECK(waitpid(pid, &st, 0) == pid);
	h_bury(me, aid);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

void *h_shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

void h_ballast(mp_self *me)
{
	static const uint64_t sizes[] = { 100, 200, 400, 1000, 4100 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		int rc;
		CHECK(mp_alloc(me, sizes[i], 0, &rc) != 0);
	}
}

/* ---- audit ---------------------------------------------------------------- */

void h_collect(mp_self *me)
{
	do
		mp_obj_collect(me);
	while (atomic_load(&me->shm->h->gc));
}

void h_settle(mp_self *me, mp_usage *u)
{
	mp_obj_collect(me);
	mp_trim(me, 0);
	mp_usage_of(me->shm, u);
}

static bool known(mp_shm *s, mp_aid a)
{
	return a && mp_slot_aid(s, mp_aid_slot(a)) == a &&
	       mp_slot_phase(s, a) == MP_SLOT_LIVE;
}

static void no_corpse_word(mp_shm *s, mp_word *w)
{
	uint32_t v = atomic_load(w);
	if ((v & MP_AID_MASK) && !(v & MP_ORPHAN))
		CHECK(known(s, v & MP_AID_MASK));
}

/* No block, no chunk, no internal lock names anybody dead. */
void h_no_corpses(mp_shm *s)
{
	mp_header *h = s->h;
	no_corpse_word(s, &h->recovery);
	no_corpse_word(s, &h->large);
	uint32_t n = h->chunks_high < h->nchunks ? h->chunks_high : h->nchunks;
	for (uint32_t i = 0; i < n * MP_CHUNK_BLOCKS; i++) {
		uint32_t tag = atomic_load(&s->meta[i].tag);
		if (tag && tag != MP_CONTAINER && !known(s, tag)) {
			fprintf(stderr, "block %u of chunk %u: tag %x\n",
			        i % MP_CHUNK_BLOCKS, i / MP_CHUNK_BLOCKS, tag);
			CHECK(!"a block names the dead");
		}
	}
	for (uint32_t i = 1; i < h->slots_high && i < h->nslots; i++) {
		mp_aid a = mp_slot_aid(s, i);
		CHECK(mp_slot_phase(s, a) != MP_SLOT_DEAD);
	}
	for (uint32_t i = 0; i < h->objs_high && i < h->nobjs; i++)
		no_corpse_word(s, &s->objs[i].claim);
}

static void print_objects(mp_shm *s)
{
	for (uint32_t i = 1; i < s->h->objs_high; i++) {
		uint64_t w = atomic_load(&s->objs[i].word);
		_Atomic uint64_t *bits = mp_at(s, s->h->bits + (uint64_t)i * 16 * s->h->words);
		if (w & 0xff)
			fprintf(stderr, "object %u: word %llx, holders %llx, claim %x, sent %u\n",
			        i, (unsigned long long)w, (unsigned long long)bits[0],
			        s->objs[i].claim, s->objs[i].sent);
	}
	for (uint32_t i = 1; i < s->h->slots_high; i++) {
		uint32_t w = atomic_load(&s->slots[i].state);
		if (w & 0xffff)
			fprintf(stderr, "slot %u: word %x, parent %x, pid %u\n", i, w,
			        s->slots[i].parent, s->slots[i].pid);
	}
}

void h_audit(mp_self *me, const mp_usage *before)
{
	mp_usage u;
	h_settle(me, &u);
	if (u.objects != before->objects || u.actors != before->actors)
		print_objects(me->shm);
	h_no_corpses(me->shm);
	CHECK_EQ(u.objects, before->objects);
	CHECK_EQ(u.actors, before->actors);
	CHECK_EQ(u.nblocks, before->nblocks);
	CHECK_EQ(u.blocks, before->blocks);
	CHECK_EQ(u.allocated, before->allocated);
}

/* ---- messages ------------------------------------------------------------- */

static void fill(unsigned char *p, uint64_t id, size_t len)
{
	CHECK(len >= 8);
	memcpy(p, &id, 8);
	memset(p + 8, (int)(0x80 | id), len - 8);
}

static void make(mp_self *me, uint64_t id, size_t len, const mp_handle *h,
                 mp_out *out)
{
	unsigned char small[256], *p = len <= sizeof small ? small : malloc(len);
	CHECK(p != NULL);
	fill(p, id, len);
	mp_part part = { p, len };
	mp_msg m = { .parts = &part, .nparts = 1, .len = len, .handles = h,
	             .nhandles = h ? 1 : 0, .label = (uint16_t)(id & 0x7fff) };
	CHECK_EQ(mp_out_make(me, &m, out), 0);
	if (p != small)
		free(p);
}

void h_make(mp_self *me, uint64_t id, size_t len, mp_out *out)
{
	make(me, id, len, NULL, out);
}

void h_make_with(mp_self *me, uint64_t id, size_t len, mp_handle h, mp_out *out)
{
	make(me, id, len, &h, out);
}

uint64_t h_read(const mp_in *in)
{
	uint64_t id;
	CHECK(in->len >= 8);
	memcpy(&id, in->data, 8);
	CHECK_EQ(in->label, id & 0x7fff);
	unsigned char want = (unsigned char)(0x80 | id);
	if (in->len > 8) {
		CHECK_EQ(in->data[8], want);
		CHECK(memcmp(in->data + 8, in->data + 9, in->len - 9) == 0);
	}
	return id;
}

void h_put(mp_self *me, mp_queue *q, uint64_t id, size_t len)
{
	mp_out out;
	uint32_t n = 0;
	h_make(me, id, len, &out);
	CHECK_EQ(mp_queue_put(me, q, &out, 1, mp_deadline(10), &n), 0);
	CHECK_EQ(n, 1);
}

uint64_t h_get(mp_self *me, mp_queue *q)
{
	mp_in in;
	uint32_t n = 0;
	int rc = mp_queue_get(me, q, &in, 1, 0, &n);
	if (rc == MP_EMPTY || rc == MP_CLOSED)
		return 0;
	CHECK_EQ(rc, 0);
	CHECK_EQ(n, 1);
	uint64_t id = h_read(&in);
	mp_in_done(me, &in);
	return id;
}

uint32_t h_drain(mp_self *me, mp_queue *q, uint64_t *ids, uint32_t max)
{
	uint32_t n = 0;
	for (uint64_t id; (id = h_get(me, q)) != 0; n++) {
		CHECK(n < max);
		ids[n] = id;
	}
	return n;
}

mp_queue *h_queue(mp_self *me, uint64_t capacity, mp_handle *h)
{
	CHECK_EQ(mp_queue_create(me, capacity, 0, h), 0);
	mp_queue *q = mp_queue_body(me->shm, *h);
	CHECK(q != NULL);
	return q;
}
