/* object: see object.h for layout, invariant and crash argument.
 *
 * SPDX-License-Identifier: MIT */
#include "object_entry.h"

#include "bell.h"
#include "eventcount.h"

static uint64_t word(unsigned state, enum mp_type type, uint32_t gen)
{
	return state | (uint64_t)type << 8 | (uint64_t)gen << 32;
}

static mp_obj *entry_of(const mp_shm *s, mp_handle h)
{
	uint32_t i = index_of(h);
	return i && i < atomic_load_explicit(&s->h->objs_high, memory_order_relaxed)
	       ? &s->objs[i] : NULL;
}

static _Atomic uint64_t *watchers(const mp_shm *s, uint32_t i)
{
	return holders(s, i) + s->h->words;
}

static void set_bit(_Atomic uint64_t *row, mp_aid a)
{
	uint32_t n = mp_aid_slot(a);
	atomic_fetch_or(&row[n / 64], UINT64_C(1) << n % 64);
}
static void clear_bit(_Atomic uint64_t *row, mp_aid a)
{
	uint32_t n = mp_aid_slot(a);
	atomic_fetch_and(&row[n / 64], ~(UINT64_C(1) << n % 64));
}
static bool has_bit(_Atomic uint64_t *row, mp_aid a)
{
	uint32_t n = mp_aid_slot(a);
	return atomic_load(&row[n / 64]) >> n % 64 & 1;
}

/* ---- creating -------------------------------------------------------------- */

/* Makes the pages of [off, off + len) real, unless the entry before, which
 * ends where this one begins, has done so: entries come in order. */
static int commit_row(mp_shm *s, uint32_t i, uint64_t off, uint64_t len)
{
	if (i > 1 && (off - 1) / 4096 == (off + len - 1) / 4096)
		return MP_OK;
	return mp_shm_commit(s, off, len);
}

static int extend(mp_shm *s, uint32_t i)
{
	uint32_t high = atomic_load(&s->h->objs_high);
	if (commit_row(s, i, mp_off(s, &s->objs[i]), sizeof(mp_obj)) ||
	    commit_row(s, i, mp_off(s, holders(s, i)), 16 * (uint64_t)s->h->words))
		return MP_NOMEM;
	while (high <= i && !atomic_compare_exchange_weak(&s->h->objs_high, &high, i + 1))
		;
	return MP_OK;
}

static void lower_hint(mp_shm *s, uint32_t i)
{
	uint32_t hint = atomic_load(&s->h->objs_hint);
	while (hint > i && !atomic_compare_exchange_weak(&s->h->objs_hint, &hint, i))
		;
}

static void left(mp_self *me, uint32_t i);

/* A free entry, claimed by me. */
static int claim_entry(mp_self *me, uint32_t *index)
{
	mp_shm *s = me->shm;
	for (uint32_t i = atomic_load(&s->h->objs_hint); i < s->h->nobjs; i++) {
		uint32_t nobody = 0, hint = i;
		if (i >= atomic_load(&s->h->objs_high) && extend(s, i))
			return MP_NOMEM;
		if (state_of(atomic_load_explicit(&s->objs[i].word, memory_order_relaxed)) != MP_OBJ_FREE)
			continue;
		MP_CRASHPOINT("object.free");
		if (!atomic_compare_exchange_strong(&s->objs[i].claim, &nobody, me->aid))
			continue;
		MP_CRASHPOINT("object.claiming");
		if (state_of(atomic_load(&s->objs[i].word)) != MP_OBJ_FREE) {
			atomic_store(&s->objs[i].claim, 0);
			left(me, i);  /* who left meanwhile found it claimed */
			continue;
		}
		atomic_compare_exchange_strong(&s->h->objs_hint, &hint, i + 1);
		*index = i;
		return MP_OK;
	}
	return -ENFILE;
}

int mp_obj_create(mp_self *me, enum mp_type type, uint64_t size,
                  int (*init)(mp_self *me, void *body, void *arg), void *arg,
                  mp_handle *h)
{
	mp_shm *s = me->shm;
	uint32_t i = 0, gen;
	uint64_t body;
	int rc = claim_entry(me, &i);
	mp_obj *o = &s->objs[i];
	if (rc)
		return rc;
	MP_CRASHPOINT("object.claimed");
	gen = gen_of(atomic_load(&o->word));
	body = mp_alloc_zeroed(me, size, mp_off(s, &o->body), &rc);
	if (!body)
		goto unclaim;
	*h = (mp_handle)gen << 32 | i;
	if (init && (rc = init(me, mp_at(s, body), arg)) != 0) {
		mp_free(me, body);
		goto unclaim;
	}
	atomic_store(&o->sent, 0);
	atomic_store(&o->left, 0);
	atomic_store(&o->creator, me->aid);
	atomic_store(&o->body, body);
	set_bit(holders(s, i), me->aid);
	MP_CRASHPOINT("object.built");
	atomic_store(&o->word, word(MP_OBJ_LIVE, type, gen));
	MP_CRASHPOINT("object.live");
	mp_settle(me, body);
	atomic_store(&o->claim, 0);
	return MP_OK;
unclaim:
	lower_hint(s, i);
	atomic_store(&o->claim, 0);
	return rc;
}

/* ---- looking up, holding --------------------------------------------------- */

void *mp_obj_body(const mp_shm *s, mp_handle h, enum mp_type type)
{
	mp_obj *o = entry_of(s, h);
	uint64_t w = o ? atomic_load_explicit(&o->word, memory_order_acquire) : 0;
	if (!o || state_of(w) == MP_OBJ_FREE || gen_of(w) != gen_of(h) ||
	    (type != MP_T_NONE && type_of(w) != type))
		return NULL;
	return mp_at(s, atomic_load(&o->body));
}

enum mp_type mp_obj_type(const mp_shm *s, mp_handle h)
{
	mp_obj *o = entry_of(s, h);
	uint64_t w = o ? atomic_load(&o->word) : 0;
	return o && state_of(w) != MP_OBJ_FREE && gen_of(w) == gen_of(h) ? type_of(w) : MP_T_NONE;
}

/* DYING is a question: whoever gets hold of the object answers LIVE, who
 * asked answers CONDEMNED, if no bit is set; one of the two succeeds. */
static bool set_state(mp_obj *o, uint64_t w, unsigned state)
{
	return atomic_compare_exchange_strong(&o->word, &w, (w & ~UINT64_C(0xff)) | state);
}

int mp_obj_hold(mp_self *me, mp_handle h)
{
	mp_shm *s = me->shm;
	mp_obj *o = entry_of(s, h);
	if (!o)
		return MP_EOF;
	/* A stale handle: the bit may be mine for another object, here now. */
	bool had = has_bit(holders(s, index_of(h)), me->aid);
	set_bit(holders(s, index_of(h)), me->aid);
	for (;;) {
		uint64_t w = atomic_load(&o->word);
		if (gen_of(w) != gen_of(h) || state_of(w) == MP_OBJ_FREE ||
		    state_of(w) == MP_OBJ_CONDEMNED)
			break;
		if (state_of(w) == MP_OBJ_LIVE || set_state(o, w, MP_OBJ_LIVE))
			return MP_OK;
	}
	if (had)
		return MP_EOF;
	clear_bit(holders(s, index_of(h)), me->aid);
	left(me, index_of(h));  /* whoever left that meanwhile saw our bit */
	return MP_EOF;
}

bool mp_obj_held(const mp_shm *s, mp_handle h, mp_aid who)
{
	return mp_obj_type(s, h) != MP_T_NONE && has_bit(holders(s, index_of(h)), who);
}

/* Who asks may have looked at the child's bit before, and will look at the
 * parent's when that is clear. */
static void give(mp_shm *s, uint32_t i, mp_aid child)
{
	uint64_t w;
	set_bit(holders(s, i), child);
	w = atomic_load(&s->objs[i].word);
	if (state_of(w) == MP_OBJ_DYING)
		set_state(&s->objs[i], w, MP_OBJ_LIVE);
}

void mp_obj_inherit(mp_shm *s, mp_aid parent, mp_aid child)
{
	uint32_t high = atomic_load(&s->h->objs_high);
	for (uint32_t i = 1; i < high; i++)
		if (has_bit(holders(s, i), parent))
			give(s, i, child);
}

void mp_obj_hold_for(mp_shm *s, mp_handle h, mp_aid who)
{
	give(s, index_of(h), who);
}

void mp_obj_sending(mp_self *me, mp_handle h)
{
	mp_obj *o = entry_of(me->shm, h);
	if (o)
		atomic_store(&o->sent, atomic_load(&me->shm->h->collections) | 1);
}

void mp_obj_entrust(mp_self *me, mp_handle h)
{
	if (mp_obj_type(me->shm, h) != MP_T_NONE)
		clear_bit(holders(me->shm, index_of(h)), me->aid);
}

mp_aid mp_obj_holder(const mp_shm *s, mp_handle h)
{
	mp_obj *o = entry_of(s, h);
	mp_aid one = 0;
	if (mp_obj_type(s, h) == MP_T_NONE || atomic_load(&o->sent))
		return 0;
	for (uint32_t k = 0; k < s->h->words; k++) {
		uint64_t bits = atomic_load(&holders(s, index_of(h))[k]);
		if (bits & (bits - 1) || (bits && one))
			return 0;
		if (bits)
			one = mp_slot_aid(s, k * 64 + (uint32_t)__builtin_ctzll(bits));
	}
	return one;
}

void mp_obj_loosened(mp_self *me)
{
	atomic_store(&me->shm->h->gc, 1);
	mp_wake_keeper(me->shm);
}

/* ---- destroying ------------------------------------------------------------ */

/* The body goes, then the entry; mine by claim. Done again after a crash. */
static void destroy(mp_self *me, uint32_t i)
{
	mp_shm *s = me->shm;
	mp_obj *o = &s->objs[i];
	uint64_t w = atomic_load(&o->word), body = atomic_load(&o->body);
	const mp_type_ops *ops = ops_of(s, type_of(w));
	if (body) {
		if (ops && ops->destroy)
			ops->destroy(me, mp_at(s, body));
		MP_CRASHPOINT("object.emptied");
		mp_take(me, body);
		atomic_store(&o->body, 0);
		mp_free(me, body);
	}
	for (uint32_t k = 0; k < s->h->words; k++)
		atomic_store(&watchers(s, i)[k], 0);
	atomic_store(&o->word, word(MP_OBJ_FREE, MP_T_NONE, gen_of(w) + 1));
	MP_CRASHPOINT("object.freed");
	lower_hint(s, i);
	atomic_store(&o->claim, 0);
}

void mp_obj_destroy_if_alone(mp_self *me, uint32_t i, uint64_t w, uint32_t began)
{
	mp_shm *s = me->shm;
	mp_obj *o = &s->objs[i];
	uint32_t nobody = 0;
	if (!atomic_compare_exchange_strong(&o->claim, &nobody, me->aid))
		return;
	if (!set_state(o, w, MP_OBJ_DYING)) {
		atomic_store(&o->claim, 0);
		return;
	}
	w = (w & ~UINT64_C(0xff)) | MP_OBJ_DYING;
	MP_CRASHPOINT("object.dying");
	/* Bits first: who sent it held it, and may have left since. */
	if (no_bits(s, holders(s, i)) && !sent_since(o, began) &&
	    set_state(o, w, MP_OBJ_CONDEMNED)) {
		MP_CRASHPOINT("object.condemned");
		destroy(me, i);
		return;
	}
	set_state(o, w, MP_OBJ_LIVE);
	atomic_store(&o->claim, 0);
	left(me, i);  /* who left meanwhile found it claimed */
}

/* After a bit was cleared: destroy it, or leave it to a collection when a
 * message may list it. Somebody who just looks into it (pin) hides that nobody
 * is left, here and from a collection: o->left asks that one to see to it. */
static void left(mp_self *me, uint32_t i)
{
	mp_shm *s = me->shm;
	mp_obj *o = &s->objs[i];
	uint64_t w = atomic_load(&o->word);
	bool sent = atomic_load(&o->sent);
	MP_CRASHPOINT("object.leaving");
	if (state_of(w) != MP_OBJ_LIVE)
		return;
	if (sent)
		atomic_store(&o->left, 1);
	if (!no_bits(s, holders(s, i)))
		return;
	if (sent) {
		atomic_store(&o->left, 0);
		mp_obj_loosened(me);
	} else {
		mp_obj_destroy_if_alone(me, i, w, 0);
	}
}

void mp_obj_drop(mp_self *me, mp_handle h)
{
	if (mp_obj_type(me->shm, h) == MP_T_NONE)
		return;
	clear_bit(holders(me->shm, index_of(h)), me->aid);
	clear_bit(watchers(me->shm, index_of(h)), me->aid);
	left(me, index_of(h));
}

void mp_obj_forget(mp_self *me, mp_aid who)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->objs_high);
	for (uint32_t i = 1; i < high; i++) {
		if (has_bit(watchers(s, i), who))
			clear_bit(watchers(s, i), who);
		if (!has_bit(holders(s, i), who))
			continue;
		clear_bit(holders(s, i), who);
		left(me, i);
	}
}

/* ---- visiting ---------------------------------------------------------------- */

/* Who looks into an object that is not its own holds it meanwhile, or its
 * memory might be another's in the middle of the look. */
struct pin {
	bool had;                      /* mine already */
	bool alone;                    /* nobody's: only messages keep it */
};

static bool pin(mp_self *me, mp_handle h, struct pin *p)
{
	_Atomic uint64_t *row = holders(me->shm, index_of(h));
	p->had = has_bit(row, me->aid);
	p->alone = no_bits(me->shm, row);
	return p->had || mp_obj_hold(me, h) == MP_OK;
}

static void unpin(mp_self *me, mp_handle h, const struct pin *p)
{
	const mp_obj *o = &me->shm->objs[index_of(h)];
	if (p->had)
		return;
	clear_bit(holders(me->shm, index_of(h)), me->aid);
	/* Its last holder may have left while we held it. */
	if (!p->alone || !atomic_load(&o->sent) || atomic_load(&o->left))
		left(me, index_of(h));
}

void mp_obj_visit_entry(mp_self *me, uint32_t i,
                        void (*f)(mp_self *me, const mp_type_ops *ops, void *body, void *ud), void *ud)
{
	mp_shm *s = me->shm;
	uint64_t w = atomic_load(&s->objs[i].word);
	const mp_type_ops *ops = state_of(w) == MP_OBJ_FREE ? NULL : ops_of(s, type_of(w));
	mp_handle h = (w >> 32 << 32) | i;
	struct pin p;
	if (!ops || !pin(me, h, &p))
		return;
	f(me, ops, mp_at(s, atomic_load(&s->objs[i].body)), ud);
	unpin(me, h, &p);
}

void mp_obj_visit(mp_self *me, void (*f)(mp_self *me, const mp_type_ops *ops, void *body, void *ud), void *ud)
{
	uint32_t high = atomic_load(&me->shm->h->objs_high);
	for (uint32_t i = 1; i < high; i++)
		mp_obj_visit_entry(me, i, f, ud);
}

static void leave(mp_self *me, const mp_type_ops *ops, void *body, void *ud)
{
	(void)ud;
	if (ops->leave)
		ops->leave(me, body);
}

void mp_obj_leave(mp_self *me)
{
	if (me->counts)
		mp_obj_visit(me, leave, NULL);
	me->counts = false;
}

/* ---- the sweep's part -------------------------------------------------------- */

void mp_obj_sweep(mp_self *me, mp_aid dead)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->objs_high);
	for (uint32_t i = 1; i < high; i++) {
		mp_obj *o = &s->objs[i];
		uint32_t by = dead;
		uint64_t w;
		if (atomic_load_explicit(&o->claim, memory_order_relaxed) != dead ||
		    !atomic_compare_exchange_strong(&o->claim, &by, me->aid))
			continue;
		w = atomic_load(&o->word);
		/* Asked, not answered: what only messages keep is left to a
		 * collection. */
		if (state_of(w) == MP_OBJ_DYING &&
		    !(no_bits(s, holders(s, i)) && !atomic_load(&o->sent) &&
		      set_state(o, w, MP_OBJ_CONDEMNED)))
			set_state(o, w, MP_OBJ_LIVE);
		w = atomic_load(&o->word);
		if (state_of(w) == MP_OBJ_CONDEMNED) {
			destroy(me, i);
			continue;
		}
		if (state_of(w) == MP_OBJ_FREE) {
			/* Never came to life, or is gone already: its body, if
			 * any, is in the name of the dead and freed as such. */
			atomic_store(&o->body, 0);
			clear_bit(holders(s, i), dead);
			lower_hint(s, i);
		}
		atomic_store(&o->claim, 0);
		left(me, i);
	}
}

/* ---- doorbells -------------------------------------------------------------- */

void mp_obj_watch(mp_self *me, mp_handle h)
{
	enum mp_type t = mp_obj_type(me->shm, h);
	const mp_type_ops *ops = ops_of(me->shm, t);
	void *body = mp_obj_body(me->shm, h, t);
	if (!body || !ops || !ops->readiness)
		return;
	set_bit(watchers(me->shm, index_of(h)), me->aid);
	mp_ec_prepare(ops->readiness(body));
}

void mp_obj_unwatch(mp_self *me, mp_handle h)
{
	if (mp_obj_type(me->shm, h) != MP_T_NONE && !mp_bell_has(me, h))
		clear_bit(watchers(me->shm, index_of(h)), me->aid);
}

void mp_obj_ring(mp_self *me, mp_handle h)
{
	mp_shm *s = me->shm;
	if (!entry_of(s, h))
		return;
	for (uint32_t k = 0; k < s->h->words; k++) {
		uint64_t bits = atomic_load_explicit(&watchers(s, index_of(h))[k], memory_order_relaxed);
		for (; bits; bits &= bits - 1) {
			uint32_t i = k * 64 + (uint32_t)__builtin_ctzll(bits);
			uint32_t bell = atomic_load(&s->slots[i].bell);
			mp_ec_notify(&s->slots[i].doorbell, 1);
			if (bell)
				mp_bell_ring(s, mp_slot_aid(s, i), h, bell);
		}
	}
}

void mp_obj_ring_all(mp_self *me)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->objs_high);
	for (uint32_t i = 1; i < high; i++) {
		uint64_t w = atomic_load(&s->objs[i].word);
		if (state_of(w) != MP_OBJ_FREE && !no_bits(s, watchers(s, i)))
			mp_obj_ring(me, (w >> 32 << 32) | i);
	}
}

bool mp_obj_waitable(const mp_shm *s, mp_handle h)
{
	const mp_type_ops *ops = ops_of(s, mp_obj_type(s, h));
	return ops && ops->readiness && ops->ready;
}

bool mp_obj_ready(mp_self *me, mp_handle h)
{
	enum mp_type t = mp_obj_type(me->shm, h);
	const mp_type_ops *ops = ops_of(me->shm, t);
	void *body = mp_obj_body(me->shm, h, t);
	return body && ops && ops->ready && ops->ready(me, body);
}

/* ---- who waits in vain ------------------------------------------------------ */

static bool may_be_ready(mp_self *me, mp_handle h)
{
	const mp_type_ops *ops = ops_of(me->shm, mp_obj_type(me->shm, h));
	struct pin p;
	void *body;
	bool is;
	if (!ops || !ops->ready || !pin(me, h, &p))
		return true;
	body = mp_obj_body(me->shm, h, MP_T_NONE);  /* NULL: held an older one */
	is = !body || ops->ready(me, body);
	unpin(me, h, &p);
	return is;
}

bool mp_obj_none_ready(mp_self *me, mp_aid who)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->objs_high), n = 0;
	for (uint32_t i = 1; i < high; i++) {
		uint64_t w = atomic_load(&s->objs[i].word);
		if (state_of(w) == MP_OBJ_FREE || !has_bit(watchers(s, i), who))
			continue;
		if (may_be_ready(me, (w >> 32 << 32) | i))
			return false;
		n++;
	}
	return n > 0;
}

bool mp_obj_stuck(mp_self *me, mp_handle h, mp_aid who, uint32_t what, mp_aid *on)
{
	const mp_type_ops *ops = ops_of(me->shm, mp_obj_type(me->shm, h));
	struct pin p;
	void *body;
	bool is;
	*on = 0;
	if (!ops || !ops->stuck || !pin(me, h, &p))
		return false;
	body = mp_obj_body(me->shm, h, MP_T_NONE);
	is = body && ops->stuck(me->shm, body, who, what, on);
	unpin(me, h, &p);
	return is;
}

const char *mp_obj_type_name(const mp_shm *s, mp_handle h)
{
	const mp_type_ops *ops = ops_of(s, mp_obj_type(s, h));
	return ops ? ops->name : "object";
}
