/* test_bind_thread: Lua states in several threads of one process, and one
 * process beside them, work with all that there is to share, at once. For
 * TSan above all, which sees what threads of one process do to each other;
 * there, no process takes part: memory that it frees would look raced for.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_mp(lua_State *L);

/* Each round uses every kind of object; the sums show that nothing is lost. */
static const char shared[] =
"local mp = require 'mp'\n"
"local N, ROUNDS = 4, tonumber(arg[1])\n"
"local items, results, work = mp.Queue(3), mp.Queue(), mp.JoinableQueue()\n"
"local lock, rlock, sem = mp.Lock(), mp.RLock(), mp.Semaphore(2)\n"
"local cond, turn = mp.Condition(), mp.Value('i64')\n"
"local barrier, ready = mp.Barrier(N + 1), mp.Event()\n"
"local dict, list, total = mp.Dict { n = 0 }, mp.List(), mp.Value('i64')\n"
"local array, buffer, any = mp.Array('i64', N + 1), mp.Buffer(64), mp.Value('any', 0)\n"
"local a, b = mp.Pipe()\n"
"\n"
"local function member(me)\n"
"  ready:wait()\n"
"  for round = 1, ROUNDS do\n"
"    items:put { from = me, round = round, text = ('x'):rep(round % 7 * 1000) }\n"
"    results:put(items:get().round)\n"
"    work:put(round)\n"
"    work:get()\n"
"    work:task_done()\n"
"    lock:with(function() dict.n = dict.n + 1 buffer:write(0, ('%02d'):format(me)) end)\n"
"    dict:update('sum', function(v) return (v or 0) + round end)\n"
"    rlock:with(function() rlock:with(function() any.value = any.value + 1 end) end)\n"
"    sem:with(function() total:add(1) end)\n"
"    array[me] = array[me] + 1\n"
"    list:append(me)\n"
"    list:pop()\n"
"    if round % 5 == 0 then barrier:wait() end\n"
"    cond:with(function() turn:add(1) cond:notify_all() end)\n"
"  end\n"
"  cond:with(function() cond:wait_for(function() return turn.value == (N + 1) * ROUNDS end) end)\n"
"  return me\n"
"end\n"
"\n"
"local echo = function() for text in function() return (b:recv()) end do b:send(text .. '!') end end\n"
"local outside = mp[arg[2]] { target = member, args = { N + 1 } }:start()\n"
"local threads = {}\n"
"for i = 1, N do threads[i] = mp.Thread { target = member, args = { i } }:start() end\n"
"local speaker = mp.Thread { target = echo }:start()\n"
"ready:set()\n"
"for i = 1, ROUNDS do a:send('m' .. i) assert(a:recv() == 'm' .. i .. '!') end\n"
"a:send(nil)\n"
"assert(mp.wait({ threads[1] }, 100))\n"
"for i = 1, N do assert(threads[i]:result() == i) end\n"
"assert(outside:result() == N + 1)\n"
"speaker:join()\n"
"assert(work:join(100))\n"
"local all = (N + 1) * ROUNDS\n"
"assert(dict.n == all and any.value == all and total.value == all and #list == 0)\n"
"assert(dict.sum == (N + 1) * ROUNDS * (ROUNDS + 1) // 2)\n"
"assert(results:qsize() == all and items:empty())\n"
"for i = 1, N + 1 do assert(array[i] == ROUNDS) end\n";

/* Threads that start threads, that print, that are ended in a loop, in a wait
 * and with a lock; results and errors that others read. (TSan delivers a signal
 * at the next call of the C library's, hence the one in the loop.) */
static const char lives[] =
"local mp = require 'mp'\n"
"local lock, never, ready = mp.Lock(), mp.Event(), mp.Queue()\n"
"for round = 1, tonumber(arg[1]) // 10 do\n"
"  local parent = mp.Thread { target = function()\n"
"    local inner = mp.Thread { target = function(n) print('in a thread', n) return n + 1 end,\n"
"                              args = { 1 } }:start()\n"
"    return inner:result()\n"
"  end }:start()\n"
"  local loop = mp.Thread { target = function() ready:put(1) while true do mp.time() end end }:start()\n"
"  local waits = mp.Thread { target = function() ready:put(1) never:wait() end }:start()\n"
"  local holds = mp.Thread { target = function() lock:acquire() ready:put(1) never:wait() end }:start()\n"
"  local fails = mp.Thread { target = function() os.exit(7) end }:start()\n"
"  for _ = 1, 3 do ready:get() end\n"
"  loop:terminate() waits:kill() holds:terminate()\n"
"  assert(loop:join(100) and loop.exitcode == -15)\n"
"  assert(waits:join(100) and waits.exitcode == -9)\n"
"  assert(holds:join(100) and select(2, lock:acquire()) == 'abandoned')\n"
"  lock:release()\n"
"  fails:join()\n"
"  assert(fails.exitcode == 7 and parent:result() == 2)\n"
"end\n"
"mp.Thread { daemon = true, target = function() while true do mp.time() end end }:start()\n";

static void run(const char *name, const char *script, const char *rounds)
{
	lua_State *L = luaL_newstate();
	h_now("%s", name);
	luaL_openlibs(L);
	luaL_requiref(L, "mp", luaopen_mp, 0);
	lua_createtable(L, 2, 0);
	lua_pushstring(L, rounds);
	lua_rawseti(L, -2, 1);
	lua_pushstring(L, H_TSAN || H_ASAN ? "Thread" : "Process");
	lua_rawseti(L, -2, 2);
	lua_setglobal(L, "arg");
	if (luaL_dostring(L, script))
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
	CHECK(lua_isnone(L, -1) || lua_type(L, -1) != LUA_TSTRING);
	lua_close(L);
}

int main(void)
{
	const char *rounds = h_prove() ? "2000" : H_TSAN ? "300" : "200";
	h_deadline(100, 900);
	run("objects between threads", shared, rounds);
	run("lives of threads", lives, rounds);
	return H_PASS;
}
