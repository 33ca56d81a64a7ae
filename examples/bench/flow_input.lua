-- flow_input.lua words FILE MEGABYTES | log FILE LINES [SAMPLE]: makes what the
-- rows of flows read, unless FILE is there. Run by scripts/bench, in a plain Lua.
-- words: texts of this machine, a few megabytes of them again and again; lines
-- with bytes beyond ASCII are left out, as other programs take these otherwise.
-- log: an access log, the lines of SAMPLE again and again, or made-up ones.
-- SPDX-License-Identifier: MIT

local what, path, size, sample = arg[1], arg[2], tonumber(arg[3]), arg[4]

local FIND <const> = [[find /usr/share/common-licenses /usr/share/doc /usr/share/perl /usr/include \
  -type f \( -name '*.txt' -o -name copyright -o -name '*.pod' -o -name '*.h' -o -name '*GPL*' \) \
  2>/dev/null | LC_ALL=C sort]]
local MEGABYTE <const>, UNIT <const> = 1000000, 20000000

local function text()
  local parts, n = {}, 0
  for name in io.popen(FIND):lines() do
    for line in io.lines(name, "L") do
      if n < UNIT and not line:find "[\0\r\x80-\xFF]" and line:sub(-1) == "\n" then
        parts[#parts + 1], n = line, n + #line
      end
    end
    if n >= UNIT then break end
  end
  return table.concat(parts)
end

local function words(out)
  local unit = text()
  for _ = 1, math.max(1, math.floor(size * MEGABYTE / #unit + 0.5)) do out:write(unit) end
end

-- Few paths have most requests, some lines are no requests.
local function made_up()
  local list = {}
  math.randomseed(1)
  for i = 1, 10000 do
    local page = ("/%s/%d.html"):format(("section"):rep(math.random(3), "/"), math.floor(math.random() ^ 4 * 2000))
    local bytes = math.random(10) == 1 and "-" or math.random(200, 200000)
    list[i] = ('10.0.%d.%d - - [17/May/2015:10:05:%02d +0000] "%s %s HTTP/1.1" %d %s "-" "Mozilla/5.0 (X11)"\n')
      :format(math.random(0, 255), math.random(0, 255), i % 60, i % 20 == 0 and "POST" or "GET", page,
              bytes == "-" and 304 or 200, bytes)
  end
  return list
end

local function log(out)
  local list = {}
  if sample then
    for line in io.lines(sample, "L") do list[#list + 1] = line end
  else
    list = made_up()
  end
  for i = 0, size - 1 do out:write(list[i % #list + 1]) end
end

local there = io.open(path)
if there then
  there:close()
else
  local out = assert(io.open(path .. ".new", "wb"))
  out:setvbuf("full", 1 << 20)
  if what == "words" then words(out) else log(out) end
  assert(out:close())
  assert(os.rename(path .. ".new", path))
end
