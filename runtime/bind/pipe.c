/* pipe: mp.Pipe. Arguments are checked and results pushed here; what an end
 * of a pipe does, msg/pipe.c and the queue decide.
 *
 * Values, raw bytes and descriptors are different kinds of messages. Who asks
 * for another kind than the next message's learns that, and it stays.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../msg/fd.h"
#include "../msg/pipe.h"
#include "../shm/bell.h"
#include "../state/buffer.h"
#include "message.h"

static mp_queue *readable(lua_State *L, mp_ref *r, const char *call)
{
	mp_queue *q = mp_pipe_in(r->body);
	if (!q)
		mp_misuse(L, call, "this end only sends");
	return q;
}

static mp_queue *writable(lua_State *L, mp_ref *r, const char *call)
{
	mp_queue *q = mp_pipe_out(r->body);
	if (!q)
		mp_misuse(L, call, "this end only receives");
	return q;
}

/* Who would not wait at all, and who has waited in vain, meet a timeout. */
static int outcome(lua_State *L, int rc, const char *call)
{
	if (rc == MP_EMPTY || rc == MP_FULL || rc == MP_NOMEM)
		rc = MP_TIMEOUT;
	return mp_fail(L, rc, call);
}

/* A count of bytes at arg, or def where it is absent. */
static lua_Integer arg_size(lua_State *L, int arg, const char *what,
                            lua_Integer def, const char *call)
{
	int isint = 0;
	lua_Integer n = 0;
	if (lua_isnoneornil(L, arg))
		return def;
	if (lua_type(L, arg) == LUA_TNUMBER)
		n = lua_tointegerx(L, arg, &isint);
	if (!isint || n < 0)
		mp_misuse(L, call, "%s must be a count of bytes, got %s", what,
		          luaL_tolstring(L, arg, NULL));
	return n;
}

/* ---- sending ------------------------------------------------------------------- */

/* Makes the message out of m, or of the value at index 2 (m NULL). from: the
 * Buffer in which m lies, if any; a signal handler may close it in a wait. */
static int make(lua_State *L, mp_state *st, const mp_msg *m,
                const mp_ref *from, const char *call, mp_out *out)
{
	if (!m)
		return mp_message_make(L, st, 2, 1, call, out);
	if (from && !from->h)
		mp_misuse(L, call, "the Buffer was closed by a signal handler meanwhile");
	return mp_out_make(st->me, m, out);
}

static int send(lua_State *L, mp_ref *r, mp_queue *q, const mp_msg *m,
                const mp_ref *from, int64_t deadline, const char *call)
{
	mp_out out;
	int rc;
	while ((rc = make(L, r->st, m, from, call, &out)) == MP_NOMEM
	       && (rc = mp_queue_closed(q) ? MP_CLOSED
	                : mp_message_room(L, r, deadline, call)) == MP_OK)
		;
	if (rc == MP_OK)
		rc = mp_message_send(L, r, q, &out, deadline, call);
	if (rc == MP_TOOBIG)
		mp_message_toobig(L, r->st, call);
	if (rc != MP_OK)
		return outcome(L, rc, call);
	lua_pushboolean(L, 1);
	return 1;
}

/* send(v, [timeout]) */
static int pipe_send(lua_State *L)
{
	static const char call[] = "Pipe:send";
	mp_ref *r = mp_ref_self(L, call);
	mp_queue *q = writable(L, r, call);
	if (lua_gettop(L) < 2)
		mp_misuse(L, call, "no value given (nil is one, if written)");
	return send(L, r, q, NULL, NULL, mp_arg_timeout(L, 3, call), call);
}

/* A Buffer at arg, or NULL: something else. */
static mp_ref *test_buffer(lua_State *L, int arg, const char *call)
{
	mp_ref *b = mp_ref_test(L, arg, MP_T_BUFFER);
	if (b && !b->h)
		mp_misuse(L, call, "the Buffer is closed here");
	return b;
}

/* The bytes at index 2. */
static const char *arg_bytes(lua_State *L, mp_ref **from, lua_Integer *len,
                             const char *call)
{
	size_t n = 0;
	const char *s;
	*from = test_buffer(L, 2, call);
	if (*from) {
		mp_buffer *b = (*from)->body;
		*len = (lua_Integer)b->len;
		return (const char *)b->data;
	}
	if (lua_type(L, 2) != LUA_TSTRING)
		mp_misuse(L, call, "expected a string or a Buffer, got %s",
		          luaL_typename(L, 2));
	s = lua_tolstring(L, 2, &n);
	*len = (lua_Integer)n;
	return s;
}

/* The offset at arg, up to the end of len bytes. */
static lua_Integer arg_offset(lua_State *L, int arg, lua_Integer len,
                              const char *call)
{
	lua_Integer offset = arg_size(L, arg, "the offset", 0, call);
	if (offset > len)
		mp_misuse(L, call, "the offset %I lies behind the end of %I bytes",
		          (LUAI_UACINT)offset, (LUAI_UACINT)len);
	return offset;
}

/* send_bytes(s, [offset = 0], [size = the rest], [timeout]) */
static int pipe_send_bytes(lua_State *L)
{
	static const char call[] = "Pipe:send_bytes";
	mp_ref *r = mp_ref_self(L, call);
	mp_queue *q = writable(L, r, call);
	mp_ref *from;
	lua_Integer len;
	const char *s = arg_bytes(L, &from, &len, call);
	lua_Integer offset = arg_offset(L, 3, len, call);
	lua_Integer size = arg_size(L, 4, "the size", len - offset, call);
	if (size > len - offset)
		mp_misuse(L, call, "%I bytes from offset %I on are more than the %I "
		          "there are", (LUAI_UACINT)size, (LUAI_UACINT)offset,
		          (LUAI_UACINT)len);
	mp_part part = { s + offset, (size_t)size };
	mp_msg m = { .parts = &part, .nparts = 1, .len = part.len,
	             .label = MP_PIPE_BYTES };
	return send(L, r, q, &m, from, mp_arg_timeout(L, 5, call), call);
}

static void push_fd(lua_State *L, mp_ref *r, int fd, const char *call)
{
	mp_handle h;
	bool tried = false;
	int rc;
	do
		rc = mp_fd_create(r->st->me, fd, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		mp_fail(L, rc, call);
	mp_ref_push(L, r->st, h, true);
}

/* send_fd(fd, [timeout]): what mp.fd makes of it goes along with the message,
 * and is then no more of ours. */
static int pipe_send_fd(lua_State *L)
{
	static const char call[] = "Pipe:send_fd";
	writable(L, mp_ref_self(L, call), call);
	int64_t deadline = mp_arg_timeout(L, 3, call);
	int fd = mp_arg_fd(L, 2, call);
	mp_ref *r = mp_ref_self(L, call);  /* that may have run any Lua */
	push_fd(L, r, fd, call);
	mp_ref *f = lua_touserdata(L, -1);
	mp_msg m = { .handles = &f->h, .nhandles = 1, .label = MP_PIPE_FD };
	int n = send(L, r, writable(L, r, call), &m, NULL, deadline, call);
	mp_ref_close(L, f);
	return n;
}

/* ---- receiving ----------------------------------------------------------------- */

typedef struct wanted {
	uint16_t label;
	lua_Integer max;           /* bytes */
	const mp_ref *into;        /* a Buffer that is not to be closed meanwhile */
	int err;                   /* why a descriptor cannot be received now */
} wanted;

/* Is there a place for one more descriptor? */
static bool has_place(wanted *w)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	w->err = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_wanted(void *ud, const mp_in *in)
{
	wanted *w = ud;
	return in->label == w->label && (lua_Integer)in->len <= w->max
	       && (!w->into || w->into->h)
	       && (w->label != MP_PIPE_FD || has_place(w));
}

static _Noreturn void deaf(lua_State *L, const char *call)
{
	mp_misuse(L, call, "this end was closed for reading, after a message "
	          "longer than the maxlength of a recv_bytes");
}

/* The next message is another than asked for: it stays, unless it is too
 * long; then nothing behind it can be trusted to be short. */
static _Noreturn void refused(lua_State *L, mp_ref *r, const wanted *w,
                              const mp_in *in, const char *call)
{
	LUAI_UACINT len = in->len;
	if (w->into && !w->into->h)
		mp_misuse(L, call, "the Buffer was closed by a signal handler meanwhile");
	if (w->err)
		mp_fail(L, -w->err, call);
	if (in->label == w->label) {
		mp_pipe_deafen(r->st->me, r->body);
		mp_misuse(L, call, "the message has %I bytes, more than maxlength "
		          "%I; this end is closed for reading now", len,
		          (LUAI_UACINT)w->max);
	}
	if (in->label == MP_PIPE_BYTES)
		mp_misuse(L, call, "the next message is %I raw bytes; receive it "
		          "with recv_bytes", len);
	mp_misuse(L, call, in->label == MP_PIPE_FD
	          ? "the next message is an open file; receive it with recv_fd"
	          : "the next message is a value; receive it with recv");
}

/* Takes the next message, running signal handlers while it waits (nothing is
 * held). MP_OK, or a reason that is for outcome. */
static int receive(lua_State *L, mp_ref *r, mp_queue *q, wanted *w,
                   int64_t deadline, const char *call, mp_in *in)
{
	int rc;
	while ((rc = mp_queue_get_if(r->st->me, q, in, is_wanted, w, deadline))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	if (rc == MP_REFUSED)
		refused(L, r, w, in, call);
	mp_bell_settle(r->st->me, r->h);
	if (rc == MP_CLOSED && atomic_load(&((mp_pipe *)r->body)->deaf))
		deaf(L, call);
	return rc == MP_CLOSED ? MP_EOF : rc;
}

/* recv([timeout]) */
static int pipe_recv(lua_State *L)
{
	static const char call[] = "Pipe:recv";
	wanted w = { MP_PIPE_VALUE, LUA_MAXINTEGER, NULL, 0 };
	mp_in in;
	mp_ref *r = mp_ref_self(L, call);
	int rc = receive(L, r, readable(L, r, call), &w,
	                 mp_arg_timeout(L, 2, call), call, &in);
	if (rc != MP_OK)
		return outcome(L, rc, call);
	return mp_message_open(L, r->st, &in, call);
}

static int bytes_protected(lua_State *L)
{
	const mp_in *in = lua_touserdata(L, 1);
	lua_pushlstring(L, (const char *)in->data, in->len);
	return 1;
}

/* Pushes the bytes and finishes the message, also if that raises. */
static void push_bytes(lua_State *L, mp_state *st, mp_in *in)
{
	if (!in->block) {
		lua_pushlstring(L, (const char *)in->data, in->len);
		return;
	}
	lua_pushcfunction(L, bytes_protected);
	lua_pushlightuserdata(L, in);
	int status = lua_pcall(L, 1, 1, 0);
	mp_in_done(st->me, in);
	if (status != LUA_OK)
		lua_error(L);
}

/* recv_bytes([maxlength], [timeout]) */
static int pipe_recv_bytes(lua_State *L)
{
	static const char call[] = "Pipe:recv_bytes";
	wanted w = { MP_PIPE_BYTES, LUA_MAXINTEGER, NULL, 0 };
	mp_in in;
	mp_ref *r = mp_ref_self(L, call);
	mp_queue *q = readable(L, r, call);
	w.max = arg_size(L, 2, "maxlength", w.max, call);
	int rc = receive(L, r, q, &w, mp_arg_timeout(L, 3, call), call, &in);
	if (rc != MP_OK)
		return outcome(L, rc, call);
	push_bytes(L, r->st, &in);
	return 1;
}

/* The message goes along with the error. */
static int too_short(lua_State *L, mp_state *st, mp_in *in, lua_Integer room,
                     const char *call)
{
	LUAI_UACINT len = in->len;
	push_bytes(L, st, in);
	mp_module_push(L, "mp.error");
	lua_getfield(L, -1, "new");
	lua_createtable(L, 0, 3);
	lua_pushliteral(L, "BufferTooShort");
	lua_setfield(L, -2, "name");
	luaL_where(L, 1);
	lua_pushfstring(L, "%s: a message of %I bytes does not fit into %I; it is in "
	                "this error's message_bytes", call, len, (LUAI_UACINT)room);
	lua_concat(L, 2);
	lua_setfield(L, -2, "message");
	lua_pushvalue(L, -4);
	lua_setfield(L, -2, "message_bytes");
	lua_call(L, 1, 1);
	return lua_error(L);
}

/* recv_bytes_into(buffer, [offset = 0], [timeout]) */
static int pipe_recv_bytes_into(lua_State *L)
{
	static const char call[] = "Pipe:recv_bytes_into";
	mp_in in;
	mp_ref *r = mp_ref_self(L, call), *into = test_buffer(L, 2, call);
	mp_queue *q = readable(L, r, call);
	wanted w = { MP_PIPE_BYTES, LUA_MAXINTEGER, into, 0 };
	if (!into)
		mp_misuse(L, call, "expected a Buffer, got %s", luaL_typename(L, 2));
	mp_buffer *b = into->body;
	lua_Integer offset = arg_offset(L, 3, (lua_Integer)b->len, call);
	lua_Integer room = (lua_Integer)b->len - offset;
	int rc = receive(L, r, q, &w, mp_arg_timeout(L, 4, call), call, &in);
	if (rc != MP_OK)
		return outcome(L, rc, call);
	if (in.len > room)
		return too_short(L, r->st, &in, room, call);
	memcpy(b->data + offset, in.data, in.len);
	lua_pushinteger(L, (lua_Integer)in.len);
	mp_in_done(r->st->me, &in);
	return 1;
}

/* recv_fd([timeout]) */
static int pipe_recv_fd(lua_State *L)
{
	static const char call[] = "Pipe:recv_fd";
	wanted w = { MP_PIPE_FD, LUA_MAXINTEGER, NULL, 0 };
	mp_in in;
	mp_handle h;
	mp_ref *r = mp_ref_self(L, call);
	int rc = receive(L, r, readable(L, r, call), &w,
	                 mp_arg_timeout(L, 2, call), call, &in);
	if (rc != MP_OK)
		return outcome(L, rc, call);
	memcpy(&h, in.handles, sizeof h);
	int fd = mp_fd_take(r->st->me, h);
	mp_in_done(r->st->me, &in);
	mp_obj_drop(r->st->me, h);
	if (fd < 0)
		return mp_fail(L, fd, call);
	lua_pushinteger(L, fd);
	return 1;
}

static bool leave(void *ud, const mp_in *in)
{
	(void)ud;
	(void)in;
	return false;
}

/* poll([timeout = 0]): would recv return at once? At the end it would. */
static int pipe_poll(lua_State *L)
{
	static const char call[] = "Pipe:poll";
	mp_ref *r = mp_ref_self(L, call);
	mp_queue *q = readable(L, r, call);
	int64_t deadline = lua_isnoneornil(L, 2) ? 0 : mp_arg_timeout(L, 2, call);
	mp_in in;
	int rc;
	while ((rc = mp_queue_get_if(r->st->me, q, &in, leave, NULL, deadline))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	mp_bell_settle(r->st->me, r->h);
	lua_pushboolean(L, rc == MP_REFUSED || rc == MP_CLOSED);
	return 1;
}

static int pipe_fileno(lua_State *L)
{
	return mp_bell_fileno(L, "Pipe:fileno");
}

/* ---- the rest ------------------------------------------------------------------ */

/* Twice is fine. */
static int pipe_close(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_PIPE);
	if (!r)
		mp_misuse(L, "Pipe:close", "expected a Pipe, got %s (call it with a "
		          "colon)", luaL_typename(L, 1));
	mp_ref_close(L, r);
	return 0;
}

/* Methods first; then the fields. */
static int pipe_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	mp_ref *r = mp_ref_test(L, 1, MP_T_PIPE);
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	mp_pipe *p = r && r->h ? r->body : NULL;
	if (strcmp(key, "closed") == 0)
		lua_pushboolean(L, !p);
	else if (strcmp(key, "readable") == 0)
		lua_pushboolean(L, p && p->in);
	else if (strcmp(key, "writable") == 0)
		lua_pushboolean(L, p && p->out);
	else
		lua_pushnil(L);
	return 1;
}

static int pipe_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_PIPE);
	mp_pipe *p = r && r->h ? r->body : NULL;
	lua_pushfstring(L, "Pipe (%s)", !p ? "closed here" : !p->out ? "receives"
	                : !p->in ? "sends" : "sends and receives");
	return 1;
}

static const luaL_Reg methods[] = {
	{ "send", pipe_send },
	{ "recv", pipe_recv },
	{ "send_bytes", pipe_send_bytes },
	{ "recv_bytes", pipe_recv_bytes },
	{ "recv_bytes_into", pipe_recv_bytes_into },
	{ "send_fd", pipe_send_fd },
	{ "recv_fd", pipe_recv_fd },
	{ "poll", pipe_poll },
	{ "fileno", pipe_fileno },
	{ "close", pipe_close },
	{ "__index", pipe_index },
	{ "__tostring", pipe_tostring },
	{ NULL, NULL }
};

/* mp.Pipe([duplex = true]) -> two ends; one way, the first receives. */
static int new_pipe(lua_State *L)
{
	static const char call[] = "mp.Pipe";
	mp_handle a, b;
	int t = lua_type(L, 1);
	if (t != LUA_TNONE && t != LUA_TNIL && t != LUA_TBOOLEAN)
		mp_misuse(L, call, "duplex must be true or false, got %s",
		          luaL_tolstring(L, 1, NULL));
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	bool tried = false, duplex = t != LUA_TBOOLEAN || lua_toboolean(L, 1);
	int rc;
	do
		rc = mp_pipe_create(me, duplex, &a, &b);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, a, true);
	mp_ref_push(L, st, b, true);
	return 2;
}

void mp_open_pipe(lua_State *L)
{
	mp_type_define(L, MP_T_PIPE, "Pipe", methods);
	lua_pushcfunction(L, new_pipe);
	lua_setfield(L, -2, "Pipe");
}
