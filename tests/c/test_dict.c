/* Dict and List against a model: sizes of all kinds, growing and shrinking,
 * versions, pictures, handles, several at once, a full arena.
 *
 * SPDX-License-Identifier: MIT */
#include "things.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { KEYS = 300, MOST = 300 };

static mp_usage before;
static mp_handle h;

static mp_store *dict(mp_self *me)
{
	CHECK_EQ(mp_dict_create(me, &h), 0);
	return mp_obj_body(me->shm, h, MP_T_DICT);
}

static mp_store *list(mp_self *me)
{
	CHECK_EQ(mp_list_create(me, &h), 0);
	return mp_obj_body(me->shm, h, MP_T_LIST);
}

static void drop(mp_self *me)
{
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

static size_t some_length(void)
{
	uint64_t r = h_random();
	return r % 16 == 0 ? 8 + (r >> 8) % 50000 : 8 + (r >> 8) % 200;
}

/* ---- one process ------------------------------------------------------------- */

static void same_as(mp_self *me, mp_store *d, const uint64_t *model)
{
	uint64_t n = 0, room = 8 << 20, k;
	mp_copy c = { .data = malloc(room), .room = room };
	for (uint64_t i = 0; i < KEYS; i++) {
		CHECK_EQ(t_get(me, d, i), model[i]);
		n += model[i] != 0;
	}
	CHECK_EQ(mp_store_count(me, d), n);
	CHECK_EQ(mp_store_show(me, d, 0, UINT64_MAX, MP_SHOW_KEYS | MP_SHOW_VALUES, &c), 0);
	CHECK_EQ(c.len, n);
	const mp_shown *x = mp_shown_first(&c);
	for (uint64_t i = 0; i < n; i++, x = mp_shown_next(x)) {
		memcpy(&k, mp_shown_key(x), sizeof k);
		CHECK_EQ(t_id(mp_shown_bytes(x), x->len), model[k]);
	}
	free(c.data);
}

static void model(mp_self *me, uint32_t turns)
{
	static uint64_t m[KEYS];
	mp_store *d = dict(me);
	memset(m, 0, sizeof m);
	for (uint32_t t = 1; t <= turns; t++) {
		/* Few keys, then many, then few: it grows and shrinks. */
		uint64_t k = h_random() % (t / 4000 % 2 ? KEYS : 5), what = h_random() % 8;
		if (what < 4) {
			t_set(me, d, k, t, some_length());
			m[k] = t;
		} else if (what == 4) {
			CHECK_EQ(t_remove(me, d, k), m[k] != 0);
			m[k] = 0;
		} else if (what == 5) {
			CHECK_EQ(t_pop(me, d, k), m[k]);
			m[k] = 0;
		} else {
			CHECK_EQ(t_get(me, d, k), m[k]);
		}
		if (t % 3989 == 0)
			same_as(me, d, m);
		if (t % 9973 == 0) {
			mp_store_clear(me, d);
			memset(m, 0, sizeof m);
		}
	}
	same_as(me, d, m);
	drop(me);
}

/* Keys that were removed do not make a dict grow. */
static void churn(mp_self *me)
{
	mp_store *d = dict(me);
	for (uint64_t i = 1; i < 100000; i++) {
		t_set(me, d, i, i, 16);
		if (i > 20)
			CHECK_EQ(t_pop(me, d, i - 20), i - 20);
	}
	CHECK(mp_store_shelf(me, d)->cap <= 64);
	CHECK_EQ(mp_store_count(me, d), 20);
	drop(me);
}

static void versions(mp_self *me)
{
	mp_store *d = dict(me);
	uint64_t n = 5, none = 0, first, buf[16];
	mp_key k = t_key(&n);
	mp_copy c = { .data = buf, .room = sizeof buf };
	mp_given v = t_given(1, 16, 0);
	h_now("versions");
	CHECK_EQ(mp_dict_get(me, d, &k, &c), MP_EMPTY);
	CHECK_EQ(c.version, 0);
	CHECK_EQ(mp_dict_set(me, d, &k, &v, &none), 0);
	CHECK_EQ(mp_dict_set(me, d, &k, &v, &none), -EAGAIN);
	CHECK_EQ(mp_dict_get(me, d, &k, &c), 0);
	first = c.version;
	CHECK(first != 0);
	/* The same value, the same record, and yet another version. */
	CHECK_EQ(mp_dict_set(me, d, &k, &v, NULL), 0);
	CHECK_EQ(mp_dict_set(me, d, &k, &v, &first), -EAGAIN);
	CHECK(t_remove(me, d, 5));
	t_set(me, d, 5, 1, 16);
	CHECK_EQ(mp_dict_set(me, d, &k, NULL, &first), -EAGAIN);
	CHECK_EQ(mp_dict_get(me, d, &k, &c), 0);
	CHECK_EQ(mp_dict_set(me, d, &k, NULL, &c.version), 0);
	CHECK_EQ(mp_dict_set(me, d, &k, NULL, NULL), MP_EMPTY);
	drop(me);
}

/* What does not fit into the reader's memory is neither read nor taken. */
static void rooms(mp_self *me)
{
	mp_store *d = dict(me);
	uint64_t n = 1, buf[4];
	mp_key k = t_key(&n);
	mp_copy c = { .data = buf, .room = sizeof buf };
	h_now("room to read into");
	t_set(me, d, 1, 1, 100);
	CHECK_EQ(mp_dict_get(me, d, &k, &c), MP_FULL);
	CHECK_EQ(c.need, 100);
	CHECK_EQ(mp_dict_pop(me, d, &k, &c), MP_FULL);
	CHECK_EQ(mp_store_show(me, d, 0, 1, MP_SHOW_VALUES, &c), MP_FULL);
	CHECK_EQ(t_pop(me, d, 1), 1);
	drop(me);
}

static void lists(mp_self *me, uint32_t turns)
{
	static uint64_t m[MOST], is[MOST];
	uint32_t n = 0;
	uint64_t buf[32], count;
	mp_store *l = list(me);
	h_now("a list");
	for (uint32_t t = 1; t <= turns; t++) {
		uint64_t what = h_random() % 8, i = h_random() % (n + 1);
		mp_copy c = { .data = buf, .room = sizeof buf };
		mp_given v = t_given(t, 8 + h_random() % 240, 0);
		if (n < MOST - 1 && what < 3) {
			CHECK_EQ(mp_list_insert(me, l, i, &v, &count), 0);
			memmove(&m[i + 1], &m[i], (n++ - i) * sizeof *m);
			m[i] = t;
		} else if (n < MOST - 1 && what == 3) {
			CHECK_EQ(mp_list_set(me, l, i, &v, &count), 0);
			CHECK_EQ(count, n);
			n += i == n;
			m[i] = t;
		} else if (what < 7) {
			int rc = mp_list_pop(me, l, i, NULL, &c);
			CHECK_EQ(rc, i < n ? 0 : MP_EMPTY);
			if (rc == 0) {
				CHECK_EQ(t_id(buf, c.len), m[i]);
				memmove(&m[i], &m[i + 1], (--n - i) * sizeof *m);
			}
		} else {
			CHECK_EQ(mp_list_set(me, l, n + 1, &v, &count), MP_EMPTY);
			CHECK_EQ(mp_list_insert(me, l, n + 1, &v, &count), MP_EMPTY);
			CHECK_EQ(mp_list_get(me, l, n, &c), MP_EMPTY);
		}
		if (t % 997 == 0) {
			CHECK_EQ(t_list(me, l, is, MOST), n);
			CHECK(memcmp(is, m, n * sizeof *m) == 0);
		}
	}
	drop(me);
}

/* ---- handles -------------------------------------------------------------------- */

/* A dict, or list, keeps what its values list, and lets go of it. */
static void handles(mp_self *me, mp_store *s, bool is_list)
{
	mp_handle e, inner = h;
	uint64_t n = 3, count, buf[32];
	mp_key k = t_key(&n);
	mp_copy c = { .data = buf, .room = sizeof buf };
	h_now("handles");
	for (int how = 0; how < 4; how++) {
		CHECK_EQ(mp_event_create(me, &e), 0);
		mp_given v = t_given(3, 16, how == 3 ? inner : e);
		if (is_list)
			CHECK_EQ(mp_list_set(me, s, 0, &v, &count), 0);
		else
			CHECK_EQ(mp_dict_set(me, s, &k, &v, NULL), 0);
		mp_obj_drop(me, e);
		mp_obj_collect(me);
		CHECK_EQ(mp_obj_body(me->shm, e, MP_T_EVENT) != NULL, how != 3);
		CHECK_EQ(is_list ? mp_list_get(me, s, 0, &c) : mp_dict_get(me, s, &k, &c), 0);
		CHECK_EQ(c.nhandles, 1);
		CHECK(mp_obj_held(me->shm, buf[0], me->aid));
		if (how == 3)
			break;  /* it contains itself now */
		mp_obj_drop(me, e);
		if (how == 0)
			mp_store_clear(me, s);
		else if (is_list)
			CHECK_EQ(mp_list_pop(me, s, 0, NULL, &c), 0);
		else if (how == 1)
			CHECK_EQ(mp_dict_set(me, s, &k, NULL, NULL), 0);
		else
			CHECK_EQ(mp_dict_pop(me, s, &k, &c), 0);
		mp_obj_drop(me, e);
		mp_obj_collect(me);
		CHECK(mp_obj_body(me->shm, e, MP_T_EVENT) == NULL);
	}
	drop(me);
}

/* ---- several ----------------------------------------------------------------------- */

static _Thread_local uint64_t mine;

/* Each thread its own numbers. */
static uint64_t my_random(void)
{
	mine ^= mine << 13;
	mine ^= mine >> 7;
	mine ^= mine << 17;
	return mine;
}

/* Each counts a key up by versions; others set, remove and clear beside it. */
static void count_up(mp_self *me, mp_store *d, uint32_t turns)
{
	uint64_t n = KEYS, buf[16];
	mp_key k = t_key(&n);
	mp_copy c = { .data = buf, .room = sizeof buf };
	for (uint32_t t = 0; t < turns;) {
		uint64_t was = mp_dict_get(me, d, &k, &c) == 0 ? t_id(buf, c.len) : 0;
		mp_given v = t_given(was + 1, 16, 0);
		int rc = mp_dict_set(me, d, &k, &v, &c.version);
		CHECK(rc == 0 || rc == -EAGAIN);
		t += rc == 0;
		uint64_t one = my_random() % KEYS, len = 8 + my_random() % 300;
		if (my_random() % 2)
			t_set(me, d, one, one + 1, len);
		else
			t_remove(me, d, one);
		one = my_random() % KEYS;
		was = t_get(me, d, one);
		CHECK(was == 0 || was == one + 1);
	}
}

static void parallel(mp_self *me)
{
	enum { N = 4 };
	pid_t pid[N];
	mp_aid aid[N];
	uint32_t turns = h_prove() ? 200000 : 5000;
	mp_store *d = dict(me);
	h_now("several processes");
	for (int i = 0; i < N; i++) {
		uint64_t seed = h_random();
		pid[i] = h_fork(me, &aid[i]);
		if (pid[i] == 0) {
			mine = seed;
			count_up(me, d, turns);
			h_exit(0);
		}
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(h_join(me, pid[i], aid[i]), 0);
	CHECK_EQ(t_get(me, d, KEYS), N * turns);
	drop(me);
}

static uint32_t thread_turns;
static mp_store *thread_dict;

static void *in_thread(void *arg)
{
	mp_self *me = arg;
	mine = me->aid * 12345u + 1;
	count_up(me, thread_dict, thread_turns);
	return NULL;
}

/* The same by threads, which ThreadSanitizer can watch. */
static void threads(mp_self *me)
{
	enum { N = 3 };
	pthread_t t[N];
	mp_self self[N];
	thread_turns = H_TSAN ? 1000 : 5000;
	thread_dict = dict(me);
	h_now("several threads");
	for (int i = 0; i < N; i++) {
		h_thread_self(me, &self[i]);
		CHECK_EQ(pthread_create(&t[i], NULL, in_thread, &self[i]), 0);
	}
	for (int i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		h_bury(me, self[i].aid);
	}
	CHECK_EQ(t_get(me, thread_dict, KEYS), N * thread_turns);
	drop(me);
}

/* Several fill and clear the same dict: nothing is left behind. */
static void clearing(mp_self *me)
{
	enum { N = 3 };
	pid_t pid[N];
	mp_aid aid[N];
	mp_store *d = dict(me);
	h_now("clearing by several");
	for (int i = 0; i < N; i++) {
		pid[i] = h_fork(me, &aid[i]);
		if (pid[i] == 0) {
			for (int r = 0; r < 30; r++) {
				for (uint64_t k = 0; k < 2000; k++)
					t_set(me, d, k, k + 1, 16);
				mp_store_clear(me, d);
			}
			h_exit(0);
		}
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(h_join(me, pid[i], aid[i]), 0);
	mp_store_clear(me, d);
	CHECK_EQ(mp_store_count(me, d), 0);
	drop(me);
}

/* One after another is killed in the middle of all kinds of changes. */
static void change_for_ever(mp_self *me, mp_store *d, mp_store *l)
{
	for (uint64_t i = 0;; i++) {
		uint64_t k = h_random() % 40, count, buf[64];
		mp_copy c = { .data = buf, .room = sizeof buf };
		if (mp_store_count(me, l) > 200)
			mp_store_clear(me, l);
		switch (h_random() % 8) {
		case 0: t_remove(me, d, k); break;
		case 1: t_pop(me, d, k); break;
		case 2: mp_list_pop(me, l, h_random() % 2 ? k : MP_LIST_LAST, NULL, &c); break;
		case 3: t_append(me, l, k + 1, 8 + h_random() % 400); break;
		case 4: {
			mp_given v = t_given(k + 1, 8 + h_random() % 400, 0);
			mp_list_insert(me, l, k / 4, &v, &count);
			break;
		}
		case 5:
			if (h_random() % 16 == 0)
				mp_store_clear(me, h_random() % 2 ? d : l);
			break;
		default: t_set(me, d, k, k + 1, some_length());
		}
	}
}

static void killed(mp_self *me)
{
	static uint64_t is[1 << 16];
	enum { N = 3 };
	pid_t pid[N] = { 0 };
	mp_aid aid[N];
	mp_store *d = dict(me), *l;
	mp_handle hl;
	int kills = h_prove() ? 5000 : 60;
	CHECK_EQ(mp_list_create(me, &hl), 0);
	l = mp_obj_body(me->shm, hl, MP_T_LIST);
	h_now("killed under load");
	for (int i = 0; i < kills + N; i++) {
		int w = i % N;
		uint64_t seed = h_random();
		if (pid[w]) {
			usleep((useconds_t)(seed % 2000));
			kill(pid[w], SIGKILL);
			CHECK(waitpid(pid[w], NULL, 0) == pid[w]);
			h_bury(me, aid[w]);
			for (uint64_t k = 0; k < 40; k++) {
				uint64_t v = t_get(me, d, k);
				CHECK(v == 0 || v == k + 1);
			}
			t_list(me, l, is, 1 << 16);
		}
		if (i < kills && (pid[w] = h_fork(me, &aid[w])) == 0) {
			h_seed(seed);
			change_for_ever(me, d, l);
		}
	}
	uint64_t n = 0;
	for (uint64_t k = 0; k < 40; k++)
		n += t_get(me, d, k) != 0;
	CHECK_EQ(mp_store_count(me, d), n);
	CHECK_EQ(mp_store_count(me, l), t_list(me, l, is, 1 << 16));
	mp_obj_drop(me, hl);
	drop(me);
}

/* ---- no memory ------------------------------------------------------------------------ */

static void full(mp_self *me)
{
	mp_store *d = dict(me);
	uint64_t n = 0;
	int rc;
	h_now("a full arena");
	for (;; n++) {
		mp_key k = t_key(&n);
		mp_given v = t_given(n + 1, 3000, 0);
		if ((rc = mp_dict_set(me, d, &k, &v, NULL)) != 0)
			break;
	}
	CHECK_EQ(rc, MP_NOMEM);
	CHECK(n > 500);
	for (uint64_t i = 0; i < n; i++)
		CHECK_EQ(t_get(me, d, i), i + 1);
	/* What is there can still be changed in place, and removed. */
	CHECK(t_remove(me, d, n / 2));
	t_set(me, d, n, 7, 3000);
	mp_store_clear(me, d);
	t_set(me, d, 1, 1, 100000);
	drop(me);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(60, 600);
	h_seed(7);
	h_open(&shm, &me, 16 << 20, 16);
	h_settle(&me, &before);
	h_now("against a model");
	model(&me, h_prove() ? 2000000 : 50000);
	h_now("churn");
	churn(&me);
	versions(&me);
	rooms(&me);
	lists(&me, h_prove() ? 2000000 : 50000);
	handles(&me, dict(&me), false);
	handles(&me, list(&me), true);
	full(&me);
	threads(&me);
	if (!H_TSAN) {
		parallel(&me);
		clearing(&me);
		killed(&me);
	}
	return h_done("dicts and lists as their models, versions, handles, threads, processes, kills, full");
}
