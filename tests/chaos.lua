-- chaos: runs a script under our mprun while its processes are killed.
--
--   run{ text, every = seconds, burst = n, keeper = bool, signals = {{at=, "TERM"}}, args = {}, env = {},
--        seconds = 60 } -> { status, out, err, kills, seconds }
--     every   mean time between two kills, nil: nobody is killed; it doubles every
--             PATIENCE seconds, so that any run ends
--     burst   up to so many at once
--     keeper  it is killed too, now and then
--     kills   processes that were killed, the keeper not counted
--   seed      of all choices: MP_SEED, else another one in each run
--
-- The killer is a process of the test. It finds its victims among the children of
-- mprun's process; that one it spares. A pid can only be another's if all pids went
-- round between a look into /proc and the kill.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

local chaos = { seed = tonumber(os.getenv "MP_SEED") or math.random(1 << 30) }

local KEEPER <const> = 20      -- one round in so many is the keeper's
local PATIENCE <const> = 3

local function read(path)
  local file = io.open(path)
  if not file then return "" end
  local text = file:read "a" or ""
  file:close()
  return text
end

-- Children of a process that have not ended: workers, the keeper.
function chaos.children(pid)
  local workers, keeper = {}, nil
  for child in read(("/proc/%d/task/%d/children"):format(pid, pid)):gmatch "%d+" do
    local name, state = read(("/proc/%s/stat"):format(child)):match "^%d+ %((.-)%) (%a)"
    if name == "mprun-keeper" then keeper = child
    elseif state and state ~= "Z" and state ~= "X" then workers[#workers + 1] = child end
  end
  return workers, keeper
end

local function victims(o, main)
  local workers, keeper = chaos.children(main)
  if o.keeper and keeper and math.random(KEEPER) == 1 then return { keeper }, 0 end
  local list = {}
  for _ = 1, math.min(math.random(o.burst or 1), #workers) do
    list[#list + 1] = table.remove(workers, math.random(#workers))
  end
  return list, #list
end

-- What the killer does: shell is a `sh` that has a `kill` of its own.
local function kill_on(o, pid_file, stop, kills)
  math.randomseed(chaos.seed)
  local shell <close> = io.popen("sh 2>/dev/null", "w")
  local main, began = nil, mp.time()
  local function pause()
    if not main then return 0.001 end
    return o.every * 2 * math.random() * 2 ^ ((mp.time() - began) // PATIENCE)
  end
  while not stop:wait(pause()) do
    main = main or math.tointeger(tonumber(read(pid_file)))
    local list, n = {}, 0
    if main then list, n = victims(o, main) end
    if #list > 0 then
      shell:write("kill -9 ", table.concat(list, " "), "\n")
      shell:flush()
      kills[1] = kills[1] + n
    end
  end
end

function chaos.run(o)
  local path, pid_file = support.script(o[1]), support.file "pid"
  local stop, kills = mp.Event(), mp.Array("i64", 1)
  local killer = o.every and mp.spawn(kill_on, o, pid_file, stop, kills)
  local started = mp.time()
  local command = { "sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh", pid_file, support.program,
                    env = o.env, seconds = o.seconds, stdin = o.stdin }
  for _, word in ipairs(o.options or {}) do table.insert(command, word) end
  table.insert(command, path)
  for _, word in ipairs(o.args or {}) do table.insert(command, word) end
  local got = support.run(command)
  got.seconds = mp.time() - started
  stop:set()
  if killer then assert(killer:join(30)) end
  got.kills = kills[1]
  return got
end

return chaos
