/* core_bench WHAT: the core without Lua. Prints nanoseconds per operation.
 *
 *   small      a producer and a consumer process, 8-byte messages
 *   alone      the same, put and got by one process
 *   roundtrip  a message to another process and its answer; both spin
 *   lock       acquire and release, nobody else wants it
 *   fork       fork, exit and wait, of this small program
 *   memcpy     1 MiB into fresh memory
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "msg/queue.h"
#include "sync/lock.h"

static const mp_type_ops *const types[MP_TYPES] = {
	[MP_T_QUEUE] = &mp_queue_ops, [MP_T_LOCK] = &mp_lock_ops,
};

static mp_shm shm;
static mp_self self;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "core_bench: %s failed\n", what);
	exit(1);
}

static void open_shm(void)
{
	mp_shm_config cfg = { .memory = 256u << 20, .processes = 16, .types = types };
	const char *why = NULL;
	must(mp_shm_create(&shm, &cfg, &why) == 0, "mp_shm_create");
	must(mp_slot_enter(&shm, mp_slot_reserve(&shm, 0, MP_KIND_PROCESS), &self),
	     "mp_slot_enter");
}

/* A child process that is an actor; it ends with its function. */
static pid_t spawn(void (*f)(void *), void *arg)
{
	mp_aid aid = mp_slot_reserve(&shm, self.aid, MP_KIND_PROCESS);
	mp_obj_inherit(&shm, self.aid, aid);
	pid_t pid = fork();
	must(pid >= 0, "fork");
	if (pid > 0)
		return pid;
	if (mp_slot_enter(&shm, aid, &self))
		f(arg);
	_exit(0);
}

static mp_queue *new_queue(void)
{
	mp_handle h;
	must(mp_queue_create(&self, 4096, 0, &h) == 0, "mp_queue_create");
	return mp_queue_body(&shm, h);
}

static void put(mp_queue *q, uint64_t v)
{
	uint32_t n;
	mp_out out;
	mp_part part = { &v, sizeof v };
	mp_msg m = { .parts = &part, .nparts = 1, .len = sizeof v };
	must(mp_out_make(&self, &m, &out) == 0, "mp_out_make");
	must(mp_queue_put(&self, q, &out, 1, MP_FOREVER, &n) == 0, "mp_queue_put");
}

static uint64_t get(mp_queue *q)
{
	uint64_t v;
	uint32_t n;
	mp_in in;
	must(mp_queue_get(&self, q, &in, 1, MP_FOREVER, &n) == 0, "mp_queue_get");
	memcpy(&v, in.data, sizeof v);
	mp_in_done(&self, &in);
	return v;
}

#define SMALL 2000000

static void produce(void *q)
{
	for (uint64_t i = 0; i < SMALL; i++)
		put(q, i);
}

static double small(void)
{
	mp_queue *q = new_queue();
	int64_t t = mp_now();
	pid_t pid = spawn(produce, q);
	for (uint64_t i = 0; i < SMALL; i++)
		must(get(q) == i, "order");
	t = mp_now() - t;
	waitpid(pid, NULL, 0);
	return (double)t / SMALL;
}

static double alone(void)
{
	mp_queue *q = new_queue();
	int64_t t = mp_now();
	for (uint64_t i = 0; i < SMALL; i++) {
		put(q, i);
		must(get(q) == i, "order");
	}
	return (double)(mp_now() - t) / SMALL;
}

#define TURNS   20000
#define STRETCH 200
#define SPIN    100000   /* never to sleep; by itself it spins some microseconds */

static void answer(void *arg)
{
	mp_queue **q = arg;
	self.spin = SPIN;
	for (int i = 0; i < TURNS; i++)
		put(q[1], get(q[0]));
}

/* The best of many short stretches: a spinner whose partner has been taken
 * off its processor measures the scheduler. */
static double roundtrip(void)
{
	mp_queue *q[2] = { new_queue(), new_queue() };
	pid_t pid = spawn(answer, q);
	int64_t best = MP_FOREVER;
	self.spin = SPIN;
	for (uint64_t i = 0; i < TURNS; ) {
		int64_t t = mp_now();
		for (int k = 0; k < STRETCH; k++, i++) {
			put(q[0], i);
			must(get(q[1]) == i, "order");
		}
		t = mp_now() - t;
		best = t < best ? t : best;
	}
	waitpid(pid, NULL, 0);
	return (double)best / STRETCH;
}

#define LOCKS 20000000

static double lock(void)
{
	mp_handle h;
	must(mp_lock_create(&self, &h) == 0, "mp_lock_create");
	mp_lock *l = mp_obj_body(&shm, h, MP_T_LOCK);
	int64_t t = mp_now();
	for (int i = 0; i < LOCKS; i++) {
		mp_lock_acquire(&self, l, MP_FOREVER);
		mp_lock_release(&self, l);
	}
	return (double)(mp_now() - t) / LOCKS;
}

#define FORKS 500

static double forks(void)
{
	int64_t t = mp_now();
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	return (double)(mp_now() - t) / FORKS;
}

#define COPIES 500
#define MIB    (1u << 20)

static double copies(void)
{
	char *from = malloc(MIB);
	must(from != NULL, "malloc");
	memset(from, 7, MIB);
	int64_t t = mp_now();
	for (int i = 0; i < COPIES; i++) {
		char *to = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
		                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(to != MAP_FAILED, "mmap");
		memcpy(to, from, MIB);
		munmap(to, MIB);
	}
	t = mp_now() - t;
	free(from);
	return (double)t / COPIES;
}

static const struct { const char *name; double (*run)(void); bool bare; } benches[] = {
	{ "small", small, false }, { "alone", alone, false },
	{ "roundtrip", roundtrip, false }, { "lock", lock, false },
	{ "fork", forks, true }, { "memcpy", copies, true },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof benches / sizeof *benches; i++) {
		if (strcmp(argv[1], benches[i].name) != 0)
			continue;
		if (!benches[i].bare)
			open_shm();
		printf("%.2f\n", benches[i].run());
		return 0;
	}
	fprintf(stderr, "usage: core_bench small|alone|roundtrip|lock|fork|memcpy\n");
	return 2;
}
