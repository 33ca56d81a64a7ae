/* fd: descriptors: mp.fd, mp.fdopen, mp.tcp, and arguments that are one.
 *
 * Of an FD object Lua has the handle and, once it asked for one by fileno, a
 * descriptor of its own in the user value.
 *
 * SPDX-License-Identifier: MIT */
#include "../msg/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../proc/stdio.h"
#include "args.h"
#include "bind.h"

/* ---- any argument as a descriptor -------------------------------------------------- */

static int number_fd(lua_State *L, int arg, const char *call)
{
	int isint;
	lua_Integer n = lua_tointegerx(L, arg, &isint);
	if (!isint || n < 0 || n > INT_MAX)
		mp_misuse(L, call, "a descriptor must be a non-negative integer, got %s",
		          luaL_tolstring(L, arg, NULL));
	if (fcntl((int)n, F_GETFD) < 0)
		mp_misuse(L, call, "descriptor %d is not open", (int)n);
	return (int)n;
}

/* What was written to it comes before what the receiver writes. */
static int file_fd(lua_State *L, const luaL_Stream *s, const char *call)
{
	if (!s->closef)
		mp_misuse(L, call, "the file is closed");
	mp_stdio_flush();
	fflush(s->f);
	return mp_stdio_number(s->f);
}

/* Pushes the method that gives the descriptor of the object at arg. */
static bool find_method(lua_State *L, int arg)
{
	static const char *const names[] = { "getfd", "fileno" };
	int t = lua_type(L, arg);
	if (t != LUA_TUSERDATA && t != LUA_TTABLE)
		return false;
	if (t == LUA_TUSERDATA && !luaL_getmetafield(L, arg, "__index"))
		return false;
	if (t == LUA_TUSERDATA)
		lua_pop(L, 1);
	for (int i = 0; i < 2; i++) {
		if (lua_getfield(L, arg, names[i]) == LUA_TFUNCTION)
			return true;
		lua_pop(L, 1);
	}
	return false;
}

static int object_fd(lua_State *L, int arg, const char *call)
{
	lua_pushvalue(L, arg);
	lua_call(L, 1, 1);
	if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) == -1)
		mp_misuse(L, call, "%s is closed, or not connected yet",
		          luaL_tolstring(L, arg, NULL));
	int fd = number_fd(L, lua_gettop(L), call);
	lua_pop(L, 1);
	return fd;
}

int mp_arg_fd(lua_State *L, int arg, const char *call)
{
	arg = lua_absindex(L, arg);
	if (lua_type(L, arg) == LUA_TNUMBER)
		return number_fd(L, arg, call);
	luaL_Stream *s = luaL_testudata(L, arg, LUA_FILEHANDLE);
	if (s)
		return file_fd(L, s, call);
	if (find_method(L, arg))
		return object_fd(L, arg, call);
	mp_misuse(L, call, "expected a descriptor, a file, or something with a "
	          "getfd or fileno method, got %s", luaL_typename(L, arg));
}

/* ---- FD ------------------------------------------------------------------------------ */

static int new_fd(lua_State *L)
{
	static const char call[] = "mp.fd";
	int fd = mp_arg_fd(L, 1, call);
	mp_handle h;
	mp_state *st = mp_state_of(L);
	int rc = mp_fd_create(mp_state_self(L, st, call), fd, &h);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

/* The descriptor that fileno gave out, -1: it has not; and that is no more. */
static int forget_local(lua_State *L, int idx)
{
	int fd = -1;
	if (lua_getiuservalue(L, idx, 1) == LUA_TNUMBER) {
		fd = (int)lua_tointeger(L, -1);
		lua_pushnil(L);
		lua_setiuservalue(L, idx < 0 ? idx - 2 : idx, 1);
	}
	lua_pop(L, 1);
	return fd;
}

static int fd_fileno(lua_State *L)
{
	static const char call[] = "FD:fileno";
	mp_ref *r = mp_ref_self(L, call);
	if (lua_getiuservalue(L, 1, 1) == LUA_TNUMBER)
		return 1;
	int fd = mp_fd_dup(r->st->me, r->h);
	if (fd < 0)
		return mp_fail(L, fd, call);
	lua_pushinteger(L, fd);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 1);
	return 1;
}

/* The object at index 1 is closed here, with its descriptor. */
static int fd_close(lua_State *L)
{
	if (!mp_ref_test(L, 1, MP_T_FD))
		mp_ref_self(L, "FD:close");  /* raises */
	int fd = forget_local(L, 1);
	if (fd >= 0)
		close(fd);
	mp_ref_close(L, lua_touserdata(L, 1));
	return 0;
}

static int fd_detach(lua_State *L)
{
	static const char call[] = "FD:detach";
	mp_ref *r = mp_ref_self(L, call);
	int fd = mp_fd_take(r->st->me, r->h);
	if (fd < 0)
		return mp_fail(L, fd, call);
	fd_close(L);
	lua_pushinteger(L, fd);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "fileno", fd_fileno },
	{ "detach", fd_detach },
	{ "close", fd_close },
	{ "__close", fd_close },
	{ "__gc", fd_close },
	{ NULL, NULL }
};

/* ---- taking one over ------------------------------------------------------------------- */

/* What argument 1 of fdopen and tcp is. */
typedef struct source {
	mp_ref *r;        /* NULL: an integer */
	int fd;           /* the integer, or a duplicate for a look at it */
} source;

static source open_source(lua_State *L, const char *call)
{
	source s = { mp_ref_test(L, 1, MP_T_FD), -1 };
	if (!s.r && lua_type(L, 1) != LUA_TNUMBER)
		mp_misuse(L, call, "expected a descriptor or an mp.fd, got %s "
		          "(mp.fd makes one of files, sockets and their like)",
		          luaL_typename(L, 1));
	if (!s.r) {
		s.fd = number_fd(L, 1, call);
		return s;
	}
	if (!s.r->h)
		mp_misuse(L, call, "this FD is closed here");
	s.fd = mp_fd_dup(mp_state_self(L, s.r->st, call), s.r->h);
	if (s.fd < 0)
		mp_fail(L, s.fd, call);
	return s;
}

/* The argument is not what is wanted: it stays the caller's. */
static _Noreturn void refuse(lua_State *L, const source *s, const char *call,
                             const char *why)
{
	if (s->r)
		close(s->fd);
	mp_misuse(L, call, "%s", why);
}

/* From here on the descriptor is mine alone to close. */
static int claim(lua_State *L, const source *s, const char *call)
{
	if (!s->r)
		return s->fd;
	close(s->fd);
	int fd = mp_fd_take(s->r->st->me, s->r->h);
	if (fd < 0)
		mp_fail(L, fd, call);
	if (((mp_fd *)s->r->body)->single)
		fd_close(L);
	return fd;
}

/* ---- fdopen ------------------------------------------------------------------------------ */

static int close_file(lua_State *L)
{
	luaL_Stream *p = luaL_checkudata(L, 1, LUA_FILEHANDLE);
	return luaL_fileresult(L, fclose(p->f) == 0, NULL);
}

/* "r", "w" or "a", then "+", then "b". */
static bool valid(const char *mode)
{
	if (!*mode || !strchr("rwa", *mode))
		return false;
	mode += mode[1] == '+' ? 2 : 1;
	return strcmp(mode, "") == 0 || strcmp(mode, "b") == 0;
}

static const char *mode_refused(int fd, const char *mode)
{
	int how = fcntl(fd, F_GETFL) & O_ACCMODE;
	bool both = strchr(mode, '+') != NULL;
	if (how == O_WRONLY && (both || *mode == 'r'))
		return "the descriptor is open for writing only";
	if (how == O_RDONLY && (both || *mode != 'r'))
		return "the descriptor is open for reading only";
	return NULL;
}

static int mp_fdopen(lua_State *L)
{
	static const char call[] = "mp.fdopen";
	const char *mode = lua_isnoneornil(L, 2) ? "r" : luaL_checkstring(L, 2);
	if (!valid(mode))
		mp_misuse(L, call, "invalid mode \"%s\", it is \"r\", \"w\" or \"a\", "
		          "then \"+\", then \"b\"", mode);
	source s = open_source(L, call);
	const char *why = mode_refused(s.fd, mode);
	if (why)
		refuse(L, &s, call, why);
	luaL_Stream *p = lua_newuserdatauv(L, sizeof *p, 0);
	p->f = NULL;
	p->closef = NULL;
	luaL_setmetatable(L, LUA_FILEHANDLE);
	int fd = claim(L, &s, call);
	p->f = fdopen(fd, mode);
	if (!p->f) {
		int err = errno;
		close(fd);
		mp_misuse(L, call, "%s", strerror(err));
	}
	p->closef = close_file;
	return 1;
}

/* ---- tcp --------------------------------------------------------------------------------- */

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &len) ? -1 : value;
}

static const char *socket_refused(int fd, bool listener)
{
	if (option(fd, SO_TYPE) != SOCK_STREAM)
		return "the descriptor is no stream socket";
	if (listener && option(fd, SO_ACCEPTCONN) != 1)
		return "the socket does not listen; its kind is \"client\"";
	if (!listener && option(fd, SO_ACCEPTCONN) == 1)
		return "the socket listens; its kind is \"listener\"";
	return NULL;
}

/* Pushes what LuaSocket's constructor makes, without a descriptor. */
static void push_empty(lua_State *L, int fd, const char *call)
{
	const char *maker = option(fd, SO_DOMAIN) == AF_INET6 ? "tcp6"
	                  : option(fd, SO_DOMAIN) == AF_INET ? "tcp4" : "tcp";
	lua_getglobal(L, "require");
	lua_pushliteral(L, "socket");
	if (lua_pcall(L, 1, 1, 0) != LUA_OK)
		mp_misuse(L, call, "LuaSocket is needed (the module socket): %s",
		          luaL_tolstring(L, -1, NULL));
	if (lua_getfield(L, -1, maker) != LUA_TFUNCTION)
		lua_getfield(L, -2, "tcp");
	lua_call(L, 0, 2);
	if (lua_isnil(L, -2))
		mp_misuse(L, call, "%s", luaL_tolstring(L, -1, NULL));
	lua_pop(L, 1);
	lua_getfield(L, -1, "close");
	lua_pushvalue(L, -2);
	lua_call(L, 1, 0);
}

/* The error may be raised with the source's duplicate open: that is closed. */
static int tcp_protected(lua_State *L)
{
	const source *s = lua_touserdata(L, 1);
	push_empty(L, s->fd, lua_tostring(L, 2));
	return 1;
}

static void push_socket(lua_State *L, const source *s, const char *call)
{
	lua_pushcfunction(L, tcp_protected);
	lua_pushlightuserdata(L, (void *)(uintptr_t)s);
	lua_pushstring(L, call);
	if (lua_pcall(L, 2, 1, 0) == LUA_OK)
		return;
	if (s->r)
		close(s->fd);
	lua_error(L);
}

static int mp_tcp(lua_State *L)
{
	static const char call[] = "mp.tcp";
	const char *kind = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	bool listener = strcmp(kind, "listener") == 0;
	if (!listener && strcmp(kind, "client") != 0)
		mp_misuse(L, call, "the kind must be \"client\" or \"listener\", got %s",
		          mp_arg_text(L, 2));
	lua_settop(L, 2);
	source s = open_source(L, call);
	const char *why = socket_refused(s.fd, listener);
	if (why)
		refuse(L, &s, call, why);
	push_socket(L, &s, call);
	lua_getfield(L, 3, "setfd");
	lua_pushvalue(L, 3);
	int fd = claim(L, &s, call);
	lua_pushinteger(L, fd);
	lua_call(L, 2, 0);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);  /* as LuaSocket has its own */
	luaL_setmetatable(L, listener ? "tcp{server}" : "tcp{client}");
	return 1;
}

void mp_open_fd(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "fd", new_fd }, { "fdopen", mp_fdopen }, { "tcp", mp_tcp }, { NULL, NULL }
	};
	mp_type_define(L, MP_T_FD, "FD", methods);
	luaL_setfuncs(L, functions, 0);
}
