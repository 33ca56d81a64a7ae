-- flow_chaos: flows of real processes that are killed all the time give what the
-- undisturbed ones give, byte for byte.
-- SPDX-License-Identifier: MIT
--
-- MP_PROVE=1: longer, and many rounds. MP_SEED: the killer's choices.

local chaos = require "tests.chaos"
local support = require "tests.support"

local PROVE <const> = os.getenv "MP_PROVE" == "1"
local ROUNDS <const> = PROVE and 20 or 1
local ITEMS <const> = PROVE and 60000 or 4000

local COMMON <const> = [==[
defaults{ restarts = 1000000 }
N = tonumber(arg[1])
function to(name) return arg[2] .. name end
function square(n) return n * n end
function twice(n) emit(n) emit(-n) end
function mod(n) return n % 17 end
function abs(n) return n < 0 and -n or n end
function side(n) return n, n % 3 == 0 and "left" or n % 3 == 1 and "right" or "other" end
function many(n) if n % 1000 == 0 then for i = 1, 3000 do emit(n * 10000 + i) end else emit(n) end end
function flaky(n) if n % 10 == 7 then error("seven " .. n, 0) end return n end
function why(e) return e.item .. " " .. e.error:gsub("^.-:%d+: ", "") end
function text(v) return type(v) == "table" and table.concat(v, " ") or tostring(v) end
function first(v) return v[1] end
function spin(n) local x = 0 for i = 1, n % 50 do x = x + i end return n end
sum = fold{ init = 0, add = function(s, n) return s + n end }
merged = fold{ init = 0, add = function(s, n) return s + n end, merge = function(a, b) return a + b end }
list = fold{ init = function() return {} end, add = function(t, n) t[#t + 1] = n return t end,
             done = function(k, t) table.sort(t) return { k, #t, t[1], t[#t] } end }
function size(b) local s = 0 for _, n in ipairs(b) do s = s + n end return s end
numbers = source(function() for i = 1, N do emit(i) end end)
marked = source(function(ctx)
  for i = (ctx.resume or 0) + 1, N do emit(i, nil, i % 10 == 0 and { mark = i } or nil) end
end)
function id(n) return n end
function id2(n) return n end
function flat(n) return n + 0.5 end
total = sum
]==]

-- what, the flow, the files it writes: + where the order counts. (What stands on
-- stdout may stand there twice.)
local flows = {
  { "fan-out, keys, folds, order, batches and files", [[
      range(1, N) -> spin*2 -> (square*2 & twice*2) => id -> (sum@mod*2 & list@mod & batch(100) & append(to "all"))
      sum -> append#2(to "sum")
      list -> append#3(to "list")
      batch -> size -> total -> append#4(to "total") ]], "+all", "sum", "list", "total" },
  { "order through parallel stages", "range(1, N)*2 -> spin*3 => square*2 => append(to 'a')", "+a" },
  { "labels, and what meets again",
    "range(1, N) -> side*2 -> (left: square*2 | right: id | else: twice) => append(to 'a')", "+a" },
  { "halves that are zipped", "range(1, N) -> (square*2 & flat*2) -> zip -> text => append(to 'a')", "+a" },
  { "alternatives, distinct and counts", [[
      range(1, N) -> (mod*2 | mod#2) -> (distinct & count@id2*2) -> text -> append(to "a") ]], "a" },
  { "items that give more than a link holds", "range(1, N) -> many*2 -> merged*2 -> append(to 'a')", "a" },
  { "errors with a way of their own", [[
      range(1, N) -> flaky*3 -> sum -> jsonl(to "a")
      flaky !> why -> append(to "bad") ]], "a", "bad" },
  { "sort, top and head", [[
      range(1, N) -> spin*2 -> (sort & sum@mod -> top(3) -> text) -> head(N + 3) -> append(to "a") ]], "a" },
  { "sources of one's own", [[
      numbers{replay=yes} -> merged -> append(to "a")
      marked{replay=mark} -> twice#2*2 => csv(to "m") ]], "a", "+m" },
}

local function sorted(s)
  local list = {}
  for line in s:gmatch "[^\n]*\n?" do list[#list + 1] = line end
  table.sort(list)
  return table.concat(list)
end

local function content(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local s = file:read "a"
  file:close()
  os.remove(path)
  return s
end

local function run(entry, how)
  local prefix = support.file "out-"
  how[1] = COMMON .. "flow[==[" .. entry[2] .. "]==]"
  how.args, how.seconds, how.options = { tostring(ITEMS), prefix }, 120, { "--no-bar" }
  local got = chaos.run(how)
  assert.equal(0, got.status, entry[2] .. "\n" .. got.err:sub(-2000))
  local all = {}
  for i = 3, #entry do
    local in_order, name = entry[i]:match "^(%+?)(.*)$"
    local s = content(prefix .. name)
    all[i - 2] = in_order == "+" and s or sorted(s)
  end
  return all, got
end

local function same(entry, expected, got, how)
  for i = 1, #expected do
    assert.is_true(expected[i] == got[i], ("%s: seed %d, %d kills: %d bytes expected, %d came\n%s"):format(
      entry[i + 2], chaos.seed, how.kills, #expected[i], #got[i], how.err:sub(-500)))
  end
end

describe("killed all the time, the same comes out of", function()
  after_each(support.clean)

  for _, entry in ipairs(flows) do
    it(entry[1], function()
      local expected = run(entry, {})
      for round = 1, ROUNDS do
        for _, every in ipairs(PROVE and { 0.02, 0.005 } or { 0.02 }) do
          local got, how = run(entry, { every = every, burst = 1 + round % 3, keeper = round % 4 == 0 })
          if os.getenv "SHOW" then io.stderr:write(entry[1], " ", how.kills, " kills ", how.seconds, "\n") end
          same(entry, expected, got, how)
        end
      end
    end)
  end
end)
