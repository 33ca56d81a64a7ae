/* Killed at every change of RLock and Condition. Those who wait are actors
 * that have registered and are not let run: what they would wake to is read
 * from their words.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

static mp_handle hl, hc;
static mp_self first, second;   /* waiters, the older one first */

enum { GRANTED = 1 };

/* What users were told, the survivor last; 0: nothing. */
static uint64_t told(const kl_fate *f)
{
	kl_ctl *other = kl_ctl_get(1), *mine = kl_ctl_get(7);
	return (mine->n ? mine->note[0] : 0) |
	       (f->second && other->n ? other->note[0] : 0);
}

/* Reports to the tester, and changes the arena, so that a kill just behind
 * it is a place of its own. */
static void report(mp_self *me, kl_ctl *ctl, uint64_t at)
{
	ctl->reported = at;
	atomic_fetch_add(&me->slot->wait.line, 1);
}

/* ---- RLock ----------------------------------------------------------------- */

static mp_rlock *rlock_of(mp_self *me)
{
	return mp_obj_body(me->shm, hl, MP_T_RLOCK);
}

static void rlock_setup(mp_self *me)
{
	CHECK_EQ(mp_rlock_create(me, &hl), 0);
}

static void rlock_twice(mp_self *me, kl_ctl *ctl)
{
	mp_rlock *l = rlock_of(me);
	int rc = mp_rlock_acquire(me, l, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	kl_note(ctl, (uint64_t)rc);
	report(me, ctl, 1);
	CHECK_EQ(mp_rlock_acquire(me, l, 0), 0);
	CHECK_EQ(mp_rlock_depth(l), 2);
	CHECK_EQ(mp_rlock_release(me, l), 0);
	CHECK_EQ(mp_rlock_owner(l), me->aid);
	report(me, ctl, 2);
	CHECK_EQ(mp_rlock_release(me, l), 0);
	CHECK_EQ(mp_rlock_release(me, l), -EPERM);
}

static void rlock_check(mp_self *me, const kl_fate *f)
{
	mp_rlock *l = rlock_of(me);
	if (!f->done && kl_ctl_get(0)->reported == 1 && !(f->second && !f->second_done))
		CHECK_EQ(told(f), MP_ABANDONED);
	if (f->done && !f->second)
		CHECK_EQ(told(f), 0);
	CHECK_EQ(mp_rlock_acquire(me, l, 0), 0);
	CHECK_EQ(mp_rlock_depth(l), 1);
	CHECK_EQ(mp_rlock_release(me, l), 0);
	CHECK_EQ(mp_rlock_owner(l), 0);
	mp_obj_drop(me, hl);
}

/* ---- Condition -------------------------------------------------------------- */

static mp_condition *cond_of(mp_self *me)
{
	return mp_obj_body(me->shm, hc, MP_T_CONDITION);
}

static uint32_t word_of(mp_self *me, const mp_self *who)
{
	return atomic_load(&cond_of(me)->waiter[mp_aid_slot(who->aid)]);
}

static void register_waiter(mp_self *me, mp_self *who)
{
	mp_cond_wait w;
	h_thread_self(me, who);
	CHECK_EQ(mp_condition_acquire(who, cond_of(who), 0), 0);
	CHECK_EQ(mp_condition_begin(who, cond_of(who), &w), 0);
	CHECK(word_of(me, who) > GRANTED);
}

static void two_wait(mp_self *me)
{
	CHECK_EQ(mp_condition_create(me, 0, &hc), 0);
	register_waiter(me, &first);
	register_waiter(me, &second);
}

static void cond_use(mp_self *me, kl_ctl *ctl)
{
	int rc = mp_condition_acquire(me, cond_of(me), mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	kl_note(ctl, (uint64_t)rc);
	CHECK_EQ(mp_condition_release(me, cond_of(me)), 0);
}

/* Nobody but the two is on record, and the lock is free. */
static void cond_clean(mp_self *me, const kl_fate *f, bool waiters)
{
	mp_condition *c = cond_of(me);
	int rc;
	if (waiters) {
		h_bury(me, first.aid);
		h_bury(me, second.aid);
	}
	CHECK_EQ(mp_condition_waiting(me->shm, c), 0);
	for (uint32_t i = 0; i < me->shm->h->nslots; i++)
		CHECK_EQ(atomic_load(&c->waiter[i]), 0);
	rc = mp_condition_acquire(me, c, 0);
	CHECK(rc == 0 || (rc == MP_ABANDONED && !f->used));
	CHECK_EQ(mp_condition_notify(me, c, 1), 0);
	CHECK_EQ(mp_condition_release(me, c), 0);
	CHECK_EQ(mp_condition_notify(me, c, 1), -EPERM);
	mp_obj_drop(me, hc);
	if (hl)
		mp_obj_drop(me, hl);
	hl = 0;
}

static void notify_op(mp_self *me, kl_ctl *ctl)
{
	mp_condition *c = cond_of(me);
	int rc = mp_condition_acquire(me, c, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	report(me, ctl, 1);
	CHECK_EQ(mp_condition_notify(me, c, 1), 0);
	report(me, ctl, 2);
	CHECK_EQ(mp_condition_release(me, c), 0);
}

static void notify_check(mp_self *me, const kl_fate *f)
{
	uint32_t a = word_of(me, &first), b = word_of(me, &second);
	uint64_t at = kl_ctl_get(0)->reported;
	if (at == 2 || told(f) == MP_ABANDONED || f->done)
		CHECK_EQ(a, GRANTED);                 /* none is lost */
	if (told(f) == MP_ABANDONED || (at == 1 && !f->done && !f->used))
		CHECK_EQ(b, GRANTED);                 /* the holder died */
	if (f->done && !f->second)
		CHECK(b > GRANTED);                   /* exactly one */
	CHECK(b > GRANTED || a == GRANTED);           /* in order */
	CHECK(a && b);
	cond_clean(me, f, true);
}

/* The same with a Lock that was given. */
static void given_setup(mp_self *me)
{
	CHECK_EQ(mp_lock_create(me, &hl), 0);
	CHECK_EQ(mp_condition_create(me, hl, &hc), 0);
	register_waiter(me, &first);
	register_waiter(me, &second);
}

static void all_op(mp_self *me, kl_ctl *ctl)
{
	mp_condition *c = cond_of(me);
	int rc = mp_condition_acquire(me, c, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	report(me, ctl, 1);
	CHECK_EQ(mp_condition_notify(me, c, UINT32_MAX), 0);
	report(me, ctl, 2);
	CHECK_EQ(mp_condition_release(me, c), 0);
}

static void all_check(mp_self *me, const kl_fate *f)
{
	uint32_t a = word_of(me, &first), b = word_of(me, &second);
	uint64_t at = kl_ctl_get(0)->reported;
	if (at == 2 || told(f) == MP_ABANDONED || f->done) {
		CHECK_EQ(a, GRANTED);
		CHECK_EQ(b, GRANTED);
	}
	/* Granted to one alone it may be, as long as it was not swept; now the
	 * holder's death has been noticed. */
	CHECK_EQ(a == GRANTED, b == GRANTED);
	cond_clean(me, f, true);
}

/* Waits, is granted it by one store of ours, comes back. */
static void waiter_op(mp_self *me, kl_ctl *ctl)
{
	mp_condition *c = cond_of(me);
	mp_cond_wait w;
	int rc;
	me->spin = 0;
	CHECK(mp_condition_acquire(me, c, mp_deadline(5)) != MP_TIMEOUT);
	CHECK_EQ(mp_condition_acquire(me, c, 0), 0);
	CHECK_EQ(mp_condition_begin(me, c, &w), 0);
	CHECK_EQ(mp_condition_sleep(me, c, &w, mp_deadline(.0005)), MP_TIMEOUT);
	atomic_store(&c->waiter[mp_aid_slot(me->aid)], GRANTED);
	report(me, ctl, 1);
	CHECK_EQ(mp_condition_sleep(me, c, &w, MP_FOREVER), 0);
	rc = mp_condition_back(me, c, &w);
	CHECK(rc == 0 || rc == MP_ABANDONED);
	CHECK_EQ(mp_rlock_depth(&c->own), 2);
	report(me, ctl, 2);
	CHECK(mp_condition_end(me, c));
	report(me, ctl, 3);
	CHECK_EQ(mp_condition_release(me, c), 0);
	CHECK_EQ(mp_condition_release(me, c), 0);
}

static void waiter_check(mp_self *me, const kl_fate *f)
{
	uint32_t a = word_of(me, &first), b = word_of(me, &second);
	uint64_t at = kl_ctl_get(0)->reported;
	/* It took the notification along. */
	if (!f->done && (at == 1 || at == 2)) {
		CHECK_EQ(a, GRANTED);
		CHECK_EQ(b, GRANTED);
	}
	if (f->done && !f->second) {
		CHECK(a > GRANTED);
		CHECK(b > GRANTED);
	}
	cond_clean(me, f, true);
}

static void alone_setup(mp_self *me)
{
	CHECK_EQ(mp_condition_create(me, 0, &hc), 0);
}

static void alone_op(mp_self *me, kl_ctl *ctl)
{
	mp_condition *c = cond_of(me);
	mp_cond_wait w;
	(void)ctl;
	me->spin = 0;
	CHECK(mp_condition_acquire(me, c, mp_deadline(5)) != MP_TIMEOUT);
	CHECK_EQ(mp_condition_begin(me, c, &w), 0);
	mp_condition_sleep(me, c, &w, mp_deadline(.0005));
	CHECK(mp_condition_back(me, c, &w) != MP_INTERRUPTED);
	mp_condition_end(me, c);
	CHECK_EQ(mp_condition_release(me, c), 0);
}

static void alone_use(mp_self *me, kl_ctl *ctl)
{
	mp_condition *c = cond_of(me);
	int rc = mp_condition_acquire(me, c, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	kl_note(ctl, (uint64_t)rc);
	CHECK_EQ(mp_condition_notify(me, c, 1), 0);
	CHECK_EQ(mp_condition_release(me, c), 0);
}

static void alone_check(mp_self *me, const kl_fate *f)
{
	cond_clean(me, f, false);
}

/* Made with a lock that it alone keeps, used, and dropped. */

static void make_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle l, h;
	(void)ctl;
	CHECK_EQ(mp_lock_create(me, &l), 0);
	CHECK_EQ(mp_condition_create(me, l, &h), 0);
	mp_obj_drop(me, l);
	mp_condition *c = mp_obj_body(me->shm, h, MP_T_CONDITION);
	CHECK_EQ(mp_condition_acquire(me, c, 0), 0);
	CHECK_EQ(mp_condition_release(me, c), 0);
	mp_obj_drop(me, h);
}

static void collect_use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_obj_collect(me);
}

static const kl_scene scenes[] = {
	{ "take an RLock twice", rlock_setup, rlock_twice, rlock_twice, rlock_check, false },
	{ "notify one of two", two_wait, notify_op, cond_use, notify_check, false },
	{ "notify one of two, swept alone", two_wait, notify_op, NULL, notify_check, false },
	{ "notify one of two, a given lock", given_setup, notify_op, cond_use, notify_check, false },
	{ "the same, swept alone", given_setup, notify_op, NULL, notify_check, false },
	{ "notify all", two_wait, all_op, cond_use, all_check, false },
	{ "wait and be notified", two_wait, waiter_op, cond_use, waiter_check, false },
	{ "wait in vain", alone_setup, alone_op, alone_use, alone_check, false },
	{ "create and drop with a lock", kl_no_setup, make_op, collect_use, kl_no_check, false },
};

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = 1 });
}
