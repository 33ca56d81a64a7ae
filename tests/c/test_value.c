/* Shared values, arrays and buffers used by threads and processes at once.
 *
 * SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "harness.h"

enum { THREADS = 3, TURNS = 3000 };

static mp_handle hi, hf, ha, harr;

static int set_any(mp_self *me, mp_value *v, uint64_t id, uint64_t len, const uint64_t *expect)
{
	unsigned char bytes[600];
	memcpy(bytes, &id, sizeof id);
	memset(bytes + sizeof id, (int)(id & 0xff), len - sizeof id);
	mp_part part = { bytes, len };
	mp_given g = { &part, 1, len, NULL, 0 };
	return mp_value_set(me, v, &g, expect);
}

/* Its number; checks that it is whole. */
static uint64_t get_any(mp_self *me, mp_value *v, uint64_t *version)
{
	uint64_t room[80], id;
	mp_copy c = { .data = room, .room = sizeof room };
	int rc = mp_value_get(me, v, &c);
	*version = c.version;
	if (rc == MP_EMPTY)
		return 0;
	CHECK_EQ(rc, 0);
	memcpy(&id, room, sizeof id);
	for (uint32_t i = sizeof id; i < c.len; i++)
		CHECK_EQ(((unsigned char *)room)[i], id & 0xff);
	return id;
}

static void *work(void *arg)
{
	mp_self *me = arg;
	mp_value *i = mp_obj_body(me->shm, hi, MP_T_VALUE);
	mp_value *f = mp_obj_body(me->shm, hf, MP_T_VALUE);
	mp_value *a = mp_obj_body(me->shm, ha, MP_T_VALUE);
	mp_array *arr = mp_array_body(me->shm, harr);
	for (int n = 0; n < TURNS; n++) {
		uint64_t version, id;
		mp_value_add_int(i, 1);
		mp_value_add_float(f, .5);
		do
			id = get_any(me, a, &version);
		while (set_any(me, a, id + 1, 16 + id % 500, &version) == -EAGAIN);
		mp_array_set(arr, mp_aid_slot(me->aid), (mp_element){ .i = n });
		for (uint64_t k = 0; k < arr->n; k++)
			CHECK(mp_array_get(arr, k).i < TURNS);
	}
	return NULL;
}

static void together(mp_self *me)
{
	pthread_t t[THREADS];
	mp_self self[THREADS];
	uint64_t version, total = (THREADS + 1) * TURNS;
	h_now("threads and a process");
	CHECK_EQ(mp_value_create(me, MP_V_I64, &hi), 0);
	CHECK_EQ(mp_value_create(me, MP_V_F64, &hf), 0);
	CHECK_EQ(mp_value_create(me, MP_V_ANY, &ha), 0);
	CHECK_EQ(mp_array_create(me, MP_U16, 64, &harr), 0);
	mp_aid aid;
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		work(me);
		h_exit(0);
	}
	for (int k = 0; k < THREADS; k++) {
		h_thread_self(me, &self[k]);
		CHECK_EQ(pthread_create(&t[k], NULL, work, &self[k]), 0);
	}
	for (int k = 0; k < THREADS; k++) {
		pthread_join(t[k], NULL);
		h_bury(me, self[k].aid);
	}
	CHECK_EQ(h_join(me, pid, aid), 0);
	CHECK_EQ(mp_value_load(mp_obj_body(me->shm, hi, MP_T_VALUE)), total);
	CHECK(mp_value_add_float(mp_obj_body(me->shm, hf, MP_T_VALUE), 0) == (double)total / 2);
	CHECK_EQ(get_any(me, mp_obj_body(me->shm, ha, MP_T_VALUE), &version), total);
	mp_obj_drop(me, hi);
	mp_obj_drop(me, hf);
	mp_obj_drop(me, ha);
	mp_obj_drop(me, harr);
}

/* A value refuses what its version says is not there any more. */
static void versions(mp_self *me)
{
	mp_handle h;
	uint64_t v1, v2;
	h_now("versions");
	CHECK_EQ(mp_value_create(me, MP_V_ANY, &h), 0);
	mp_value *v = mp_obj_body(me->shm, h, MP_T_VALUE);
	CHECK_EQ(get_any(me, v, &v1), 0);
	CHECK_EQ(v1, 0);
	CHECK_EQ(set_any(me, v, 5, 20, &v1), 0);
	CHECK_EQ(get_any(me, v, &v2), 5);
	CHECK_EQ(set_any(me, v, 5, 20, NULL), 0);
	CHECK_EQ(set_any(me, v, 6, 20, &v2), -EAGAIN);
	CHECK_EQ(set_any(me, v, 6, 20, &v1), -EAGAIN);
	CHECK_EQ(mp_value_set(me, v, NULL, &v2), -EAGAIN);
	CHECK_EQ(mp_value_set(me, v, NULL, NULL), 0);
	CHECK_EQ(set_any(me, v, 7, 20, &v1), 0);
	mp_obj_drop(me, h);
}

/* Large bodies are zero, whatever their chunks were before. */
static void zeroed(mp_self *me)
{
	static const uint64_t sizes[] = { 1, 5000, 40000, 65536, 200000, 300001 };
	h_now("zeroed");
	for (unsigned turn = 0; turn < 4; turn++)
		for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			mp_handle h[2];
			uint64_t len;
			for (unsigned k = 0; k < 2; k++) {
				CHECK_EQ(mp_buffer_create(me, sizes[i], &h[k]), 0);
				unsigned char *p = mp_buffer_data(me->shm, h[k], &len);
				CHECK_EQ(len, sizes[i]);
				for (uint64_t b = 0; b < len; b++)
					CHECK_EQ(p[b], 0);
				memset(p, 0xee, len);
			}
			mp_obj_drop(me, h[turn % 2]);
			mp_obj_drop(me, h[!(turn % 2)]);
			if (turn == 1)
				mp_trim(me, i);
		}
	mp_handle h;
	CHECK_EQ(mp_buffer_create(me, UINT64_MAX - 3, &h), MP_TOOBIG);
	CHECK_EQ(mp_buffer_create(me, me->shm->size, &h), MP_TOOBIG);
	CHECK_EQ(mp_array_create(me, MP_F64, UINT64_MAX / 8 + 2, &h), MP_TOOBIG);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	mp_usage before;
	h_deadline(100, 600);
	h_open(&shm, &me, 4 << 20, 16);
	h_settle(&me, &before);
	versions(&me);
	zeroed(&me);
	together(&me);
	h_audit(&me, &before);
	return h_done("versions, zeroed memory, %d threads and a process", THREADS);
}
