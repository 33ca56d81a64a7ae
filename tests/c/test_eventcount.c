/* Event counts: no wake-up is lost, deadlines hold, a dead notifier is no end.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <pthread.h>

enum { TURNS = 20000 };

static struct { mp_ec ping, pong; _Atomic uint32_t at; } *t;

struct turn { uint32_t want; };

static bool reached(void *arg)
{
	return atomic_load(&t->at) >= ((struct turn *)arg)->want;
}

/* One adds on even numbers, the other on odd ones. */
static void play(mp_self *me, uint32_t parity)
{
	static const mp_wait as = { .what = MP_W_EVENT };
	for (uint32_t i = parity; i < TURNS; i += 2) {
		struct turn turn = { i };
		CHECK_EQ(mp_ec_wait(me, parity ? &t->pong : &t->ping, reached, &turn,
		                    mp_deadline(30), &as), 0);
		atomic_store(&t->at, i + 1);
		mp_ec_notify(parity ? &t->ping : &t->pong, 1);
	}
}

static void *thread(void *arg)
{
	play(arg, 1);
	return NULL;
}

static bool looked(void *arg)
{
	++*(uint32_t *)arg;
	return false;
}

/* The turns are for looks, not for calls that look at many things. */
static void spins(mp_self *me)
{
	for (uint32_t looks = 1; looks <= 16; looks++) {
		uint32_t n = 0;
		me->spin = 12;
		CHECK(!mp_ec_spin(me, looks, looked, &n));
		CHECK_EQ(n, 12 / looks);
	}
	me->spin = -1;
}

static _Atomic uint32_t over;
static uint32_t slices;

static int told(mp_self *me, void *ud)
{
	(void)me, (void)ud;
	return 1;
}

static void count_slice(mp_self *me, void *ud)
{
	(void)me, (void)ud;
	slices++;
}

static void *disturb(void *arg)
{
	while (!atomic_load(&over)) {
		mp_ec_notify(arg, 1);
		usleep(100);
	}
	return NULL;
}

/* Woken for nothing it asks whether to go on, before its slice is over. */
static void woken_in_vain(mp_self *me)
{
	static const mp_wait as = { .what = MP_W_EVENT };
	static mp_ec ec;
	pthread_t th;
	uint32_t n = 0;
	me->interrupted = told;
	me->slice = count_slice;
	CHECK_EQ(pthread_create(&th, NULL, disturb, &ec), 0);
	do {
		slices = 0;
		CHECK_EQ(mp_ec_wait(me, &ec, looked, &n, mp_deadline(30), &as), MP_INTERRUPTED);
	} while (slices);
	atomic_store(&over, 1);
	pthread_join(th, NULL);
	me->interrupted = NULL;
	me->slice = NULL;
}

int main(void)
{
	mp_shm shm;
	mp_self me, other;
	mp_usage before;
	pthread_t th;
	mp_handle h;
	h_deadline(60, 60);
	h_open(&shm, &me, 1 << 20, 8);
	h_settle(&me, &before);
	t = h_shared(sizeof *t);
	for (int spin = 0; spin < 2; spin++) {
		h_now("threads, spin %d", spin);
		me.spin = spin ? -1 : 0;
		atomic_store(&t->at, 0);
		h_thread_self(&me, &other);
		other.spin = me.spin;
		CHECK_EQ(pthread_create(&th, NULL, thread, &other), 0);
		play(&me, 0);
		pthread_join(th, NULL);
		h_bury(&me, other.aid);
	}
	me.spin = -1;
	h_now("spinning alone");
	spins(&me);
	h_now("woken in vain");
	woken_in_vain(&me);
	h_now("events");
	CHECK_EQ(mp_event_create(&me, &h), 0);
	mp_event *e = mp_obj_body(&shm, h, MP_T_EVENT);
	int64_t from = mp_now();
	CHECK_EQ(mp_event_wait(&me, e, mp_deadline(.25)), MP_TIMEOUT);
	CHECK(mp_now() - from >= 250 * MP_MS && mp_now() - from < 3 * MP_SEC);
	if (!H_TSAN) {
		mp_aid aid;
		pid_t pid = h_fork(&me, &aid);
		if (pid == 0) {
			usleep(20000);
			mp_event_set(&me, e);
			h_exit(0);
		}
		CHECK_EQ(mp_event_wait(&me, e, mp_deadline(10)), 0);
		CHECK_EQ(h_join(&me, pid, aid), 0);
		/* Set behind the back of the notification: a slice finds it. */
		mp_event_clear(e);
		pid = h_fork(&me, &aid);
		if (pid == 0) {
			usleep(20000);
			atomic_store(&e->set, 1);
			h_exit(0);
		}
		CHECK_EQ(mp_event_wait(&me, e, mp_deadline(10)), 0);
		CHECK_EQ(h_join(&me, pid, aid), 0);
	}
	mp_event_clear(e);
	CHECK(!mp_event_is_set(e));
	mp_obj_drop(&me, h);
	h_audit(&me, &before);
	return h_done("%d hand-overs, sleeping and spinning; deadlines", 2 * TURNS);
}
