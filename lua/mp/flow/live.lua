-- live: how a flow gets on, for people: a line per stage of a terminal, which is
-- redrawn, or, where there is no terminal, a plain line now and then.
-- SPDX-License-Identifier: MIT
--
-- new{ write=, columns=, now=, [lines=], [every=10], [name=] } -> live
--     write(text, over)   puts text out: core.bar; over: nothing stands there any more
--     columns() -> the terminal's width, 0: it does not say, nil: there is none
--     lines() -> its height, 0 or nil: it does not say
--     now: seconds, of any clock; every: seconds between two plain lines; name begins
--     those
-- live:show(now, rows, [info])     what there is now. It draws at most ten times a second,
--     so call it as often as you like, but do: it sees no clock, and after somebody else
--     has written there the table comes back with the next call only. What is over in a
--     moment shows nothing
-- live:note(text, now)             text above the table, a line or several
-- live:finish(now, rows, [info])   shows the whole run's rates, and leaves the table where
--     it is, below it the cursor; with info.clear the table goes (a summary follows)
--
-- A row is { label, role = "source" | "between" | "sink",
--   workers     that run now; most: as many as there may be, if they can be more
--   taken, given, [failed], [skipped], [retried]   items so far
--   busy        seconds that its workers have worked so far, all together; blocked: that
--               they have waited for room in what they write to. Waiting for items is neither
--   fill, cap   items in its input, and as many as fit (nil: it has none)
--   total, done how much its source is, and how much of it is through; unit = "bytes": of
--               these. Or progress = { done, total }, what a script has told
--   key         true where its workers have items by key
--   inside      true: it runs in the workers of the row above; workers, busy, blocked,
--               fill and cap are that one's }
-- The rows and their order stay the same. info is { cpus, replaced = workers so far,
--   state = a word before all others ("stopping"), clear }; all may be missing.
--
-- On the terminal the cursor stands in the first line of the table, which is empty where
-- there is room: what others write begins there, and goes over the table. It is whole,
-- but lines of a program that is not ours (it does not clear the table first, see
-- mp_stdio_bar) may end in remains of it, and one that it has not ended yet is lost.
-- A process killed in a write leaves the table where it is.

local bar = require "mp.bar"
local columns = require "mp.flow.columns"
local pace = require "mp.flow.pace"

local M = {}

local FIRST <const> = 0.3      -- seconds until the first table
local REDRAW <const> = 0.1     -- between two
local VERDICT <const> = 1      -- seconds that a sentence stays, so that it can be read
local WIDTH <const>, HEIGHT <const> = 80, 24   -- of a terminal that does not say
local LABEL <const> = 40       -- columns of the longest label
local QUEUE <const> = 8        -- columns of a queue's bar
local LEAST <const>, MOST <const> = 10, 30     -- of the bar at the bottom
local CLEAR <const> = "\r\27[J"

-- cells --------------------------------------------------------------------------

local function label(row) return columns.cut(columns.clean(row.label), LABEL) end

local function percent(x) return ("%.0f%%"):format(100 * x) end

local function queue(fill)
  local full = math.floor(fill * QUEUE + 0.5)
  if fill > 0 then full = math.max(1, full) end
  if fill < 1 then full = math.min(QUEUE - 1, full) end
  return "[" .. ("#"):rep(full) .. ("."):rep(QUEUE - full) .. "]"
end

local function progress_of(row)
  if row.total then return row.done or 0, row.total, row.unit end
  if row.progress and row.progress[2] then return row.progress[1], row.progress[2] end
end

local function fraction(row)
  local done, total = progress_of(row)
  return done and (total == 0 and 1 or math.max(0, math.min(1, done / total)))
end

local function rate(n) return n > 0 and bar.rate(n) or "-" end

-- Those that run, of those there may be; when it is all over, how many there were.
local function workers(row, _, over)
  local n, most = row.workers or 0, row.most
  if over then n = math.max(n, most or 0) end
  if n == 0 then return "-" end
  return not over and most and most ~= n and bar.count(n) .. "/" .. bar.count(most) or bar.count(n)
end

local function number(name)
  return function(row) return (row[name] or 0) > 0 and bar.count(row[name]) or "" end
end

local function own(cell)
  return function(row, look, over) return row.inside and "" or cell(row, look, over) end
end

-- From left to right. rank: the higher, the sooner it goes when there is no room;
-- rare: only if a row has something there.
local layout = {
  { head = "stage", rank = 0, left = true, cell = function(row)
    return (row.inside and "  " or "") .. label(row)
  end },
  { head = "workers", rank = 6, cell = own(workers) },
  { head = "rate", rank = 1, cell = function(_, look) return rate(look.rate) end },
  { head = "queue", rank = 4, left = true, rare = true, cell = own(function(row, look)
    return (row.cap or 0) > 0 and queue(look.fill) or ""
  end) },
  { head = "busy", rank = 3, cell = own(function(_, look) return percent(look.busy) end) },
  { head = "blocked", rank = 7, cell = own(function(_, look) return percent(look.blocked) end) },
  { head = "failed", rank = 2, rare = true, cell = number "failed" },
  { head = "skipped", rank = 8, rare = true, cell = number "skipped" },
  { head = "retried", rank = 9, rare = true, cell = number "retried" },
  { head = "done", rank = 5, rare = true, cell = function(row)
    return row.role ~= "source" and fraction(row) and percent(fraction(row)) or ""
  end },
}

-- The columns of the rows at these places. They never get narrower, nor go away: a
-- table that twitches cannot be read.
local function cells(live, rows, looks, places)
  local list = {}
  for _, part in ipairs(layout) do
    local column, some = { head = part.head, rank = part.rank, left = part.left }, live.wide[part.head]
    local wide = some or 0
    for i, place in ipairs(places) do
      column[i] = part.cell(rows[place], looks[place], live.over)
      wide = math.max(wide, columns.width(column[i]))
      some = some or column[i] ~= ""
    end
    if some or not part.rare then
      column.wide, live.wide[part.head] = wide, wide
      list[#list + 1] = column
    end
  end
  return list
end

-- the lines below the table -----------------------------------------------------------

local function amount(done, total, unit)
  if unit ~= "bytes" then return bar.count(done) .. "/" .. bar.count(total) end
  local scale, name = 1, "B"
  for _, next_name in ipairs { "KiB", "MiB", "GiB", "TiB" } do
    if total / scale < 1024 then break end
    scale, name = scale * 1024, next_name
  end
  local form = scale == 1 and "%.0f/%.0f %s" or "%.1f/%.1f %s"
  return form:format(done / scale, total / scale, name)
end

-- Seconds that a row will take, by the speed of the last ones, or since the beginning.
local function remaining(live, now, row, look)
  local done, total = progress_of(row)
  local speed = look.speed > 0 and look.speed or done / math.max(now - live.began, 1e-9)
  return done >= total and 0 or speed > 0 and (total - done) / speed or math.huge
end

-- How far all of it is: as its slowest source; if none knows, as a stage that told.
local function farthest(live, now, rows, looks)
  local found, most
  for _, sources in ipairs { true, false } do
    for i, row in ipairs(rows) do
      if (row.role == "source") == sources and progress_of(row) then
        local left = remaining(live, now, row, looks[i])
        if not most or left > most then found, most = row, left end
      end
    end
    if found then return found, most end
  end
end

local function elapsed(seconds)
  return seconds < 10 and ("%.1f s"):format(seconds) or bar.span(seconds)
end

local function replaced(n)
  return ("%s worker%s replaced"):format(bar.count(n), n == 1 and "" or "s")
end

-- The parts of the line, the most important first: { where it stands, text }.
local function parts(live, now, rows, looks, info)
  local list = {}
  local function add(place, text) list[#list + 1] = { place, text } end
  if info.state then add(1, columns.clean(info.state)) end
  local row, left = farthest(live, now, rows, looks)
  local part = row and fraction(row)
  if part then
    add(3, percent(part))
    if left > 0 and left < math.huge and not live.over then add(5, "ETA " .. bar.span(left)) end
  end
  add(6, elapsed(now - live.began))
  if (info.replaced or 0) > 0 then add(7, replaced(info.replaced)) end
  if part then add(4, amount(progress_of(row))) end
  return list, part
end

local function joined(list)
  table.sort(list, function(a, b) return a[1] < b[1] end)
  local texts = {}
  for i, p in ipairs(list) do texts[i] = p[2] end
  return table.concat(texts, "  ")
end

local function drawn(part, width)
  local full = math.floor(part * width)
  return "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "]"
end

local function foot(live, now, rows, looks, info, room)
  local chosen, used = {}, -2
  local list, part = parts(live, now, rows, looks, info)
  for _, p in ipairs(list) do
    local more = columns.width(p[2]) + 2
    if used + more <= room then
      chosen[#chosen + 1] = p
      used = used + more
    end
  end
  local width = math.min(MOST, room - used - 4)
  if part and width >= LEAST then chosen[#chosen + 1] = { 2, drawn(part, width) } end
  return joined(chosen)
end

-- the picture ------------------------------------------------------------------------

local function verdict(live, now, rows, looks, info)
  local v = live.verdict
  if now >= v.due then
    v.index, v.text = pace.bottleneck(rows, looks, info.cpus)
    v.due = now + VERDICT
  end
  return v.index, v.text and "bottleneck: " .. v.text
end

-- How much a row tells where there is no room for all.
local function weight(row, look, is_bottleneck)
  if is_bottleneck then return 9 end
  if row.inside then return (row.failed or 0) > 0 and 2.5 or -1 end
  return ((row.failed or 0) > 0 and 4 or 0) + (row.role ~= "between" and 2 or 0)
    + math.max(look.busy, look.fill)
end

-- The places of the n rows that tell most, in their order.
local function choose(rows, looks, n, bottleneck)
  local list = {}
  for i = 1, #rows do list[i] = i end
  table.sort(list, function(a, b)
    local x = weight(rows[a], looks[a], a == bottleneck)
    local y = weight(rows[b], looks[b], b == bottleneck)
    if x ~= y then return x > y end
    return a < b
  end)
  list = table.move(list, 1, math.max(0, n), 1, {})
  table.sort(list)
  return list
end

-- The lines of so many, each up to `room` wide.
local function picture(live, now, rows, looks, info, room, height)
  local index, why
  if not live.over then index, why = verdict(live, now, rows, looks, info) end
  if height < 2 then why = nil end
  local left = height - 1 - (why and 1 or 0)
  local head = left >= 3 and 1 or 0
  left = left - head
  local n = #rows
  if n > left then n = left >= 2 and left - 1 or left end
  local list = columns.set(cells(live, rows, looks, choose(rows, looks, n, index)), room)
  if head == 0 then table.remove(list, 1) end
  if #rows > n and left >= 2 then list[#list + 1] = columns.cut(("… %d more"):format(#rows - n), room) end
  list[#list + 1] = foot(live, now, rows, looks, info, room)
  list[#list + 1] = why and columns.cut(why, room)
  if #list < height and not live.over then table.insert(list, 1, "") end
  return list
end

-- The last column stays free: to write there wraps the line on some terminals. And a
-- line stays free: else the first one might leave the screen, and the cursor not.
local function frame(live, now, rows, looks, info)
  local width = live.columns()
  if width == 0 then width = WIDTH end
  local height = live.lines and live.lines() or 0
  if height == 0 then height = HEIGHT end
  local list = picture(live, now, rows, looks, info, width - 1, math.max(1, height - 1))
  local text = "\r" .. table.concat(list, "\27[K\n") .. "\27[J"
  if live.over then return text .. "\n" end
  return text .. (#list > 1 and ("\27[%dA"):format(#list - 1) or "") .. "\r"
end

-- Where there is no terminal: how far, what goes in and comes out, what fails, and why.
local function plain(live, now, rows, looks, info)
  local list = parts(live, now, rows, looks, info)
  local failed, told = 0, 0
  for i, row in ipairs(rows) do
    failed = failed + (row.failed or 0)
    if row.role ~= "between" and told < 4 then
      told = told + 1
      list[#list + 1] = { 8 + told / 10, label(row) .. " " .. rate(looks[i].rate) }
    end
  end
  if failed > 0 then list[#list + 1] = { 10, bar.count(failed) .. " failed" } end
  if not live.over then
    local _, why = verdict(live, now, rows, looks, info)
    list[#list + 1] = why and { 11, why }
  end
  return live.prefix .. joined(list) .. "\n"
end

-- the whole ----------------------------------------------------------------------------

local Live = {}
Live.__index = Live

function M.new(o)
  local every = o.every or 10
  return setmetatable({ write = o.write, columns = o.columns, lines = o.lines, every = every,
    prefix = o.name and o.name .. ": " or "", began = o.now, pace = pace.new(o.now), wide = {},
    verdict = { due = o.now }, due = o.now + (o.columns() and FIRST or every) }, Live)
end

local function draw(live, now, before)
  local looks = live.pace:look(now, live.rows)
  if live.columns() then
    live.write((before or "") .. frame(live, now, live.rows, looks, live.info), live.over)
    live.due = now + REDRAW
  else
    live.write((before or "") .. plain(live, now, live.rows, looks, live.info), live.over)
    live.due = now + live.every
  end
  live.begun = true
end

function Live:show(now, rows, info)
  self.rows, self.info = rows, info or {}
  if now >= self.due then draw(self, now) end
end

function Live:note(text, now)
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  if not self.columns() then
    self.write(text, true)
  elseif self.rows and now >= self.due then
    draw(self, now, CLEAR .. text)
  else
    self.write((self.begun and CLEAR or "") .. text, true)
  end
end

function Live:finish(now, rows, info)
  if self.over then return end
  self.over, self.rows, self.info = true, rows, info or {}
  self.pace = pace.new(self.began)
  if not self.begun then return end
  if not self.info.clear then
    draw(self, now)
  elseif self.columns() then
    self.write(CLEAR, true)
  end
end

return M
