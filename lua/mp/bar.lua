-- bar: how far something is, for people: one line of a terminal that is redrawn,
-- or, where there is no terminal, a plain line now and then.
--
-- new{ write=, columns=, now=, [every=10], [name=] } -> bar
--     write(text)   puts text out; columns() -> the terminal's width, 0: it does
--                   not say, nil: there is none; now: seconds, of any clock;
--                   every: seconds between two plain lines; name begins those
-- bar:show(now, done, total, failed)   so far; total nil: unknown. It draws at
--                   most ten times a second, so call it as often as you like
-- bar:finish(now)   draws what it is now, and leaves the line
--
-- count(n), rate(per_second), span(seconds) -> text: 1,234   56.7/s   1:02:03
--
-- It knows no clock and no terminal, only what it is given.
--
-- SPDX-License-Identifier: MIT

local M = {}

local REDRAW = 0.1         -- seconds
local WIDTH = 80           -- of a terminal that does not say
local WINDOW = 5           -- seconds that a rate is taken over, and up to twice as much
local LEAST, MOST = 10, 40 -- columns of the bar itself
local TEXT = 48            -- columns that are left to the text, as long as there are
local CLEAR = "\r\27[K"

-- numbers --------------------------------------------------------------------------------

function M.count(n)
  local text = ("%.0f"):format(n)
  local more
  repeat
    text, more = text:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until more == 0
  return text
end

-- What is rarer than one a second is told by the minute, or the hour.
function M.rate(x)
  for _, unit in ipairs { "s", "min" } do
    if x >= 99.95 then return ("%s/%s"):format(M.count(x), unit) end
    if x >= 9.995 then return ("%.1f/%s"):format(x, unit) end
    if x >= 0.995 then return ("%.2f/%s"):format(x, unit) end
    x = x * 60
  end
  return ("%.1f/h"):format(x)
end

function M.span(seconds)
  if seconds >= 100 * 86400 then return ">99 days" end
  local s = math.floor(seconds + 0.5)
  if s < 3600 then return ("%d:%02d"):format(s // 60, s % 60) end
  if s < 86400 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
  return ("%dd %02dh"):format(s // 86400, s // 3600 % 24)
end

-- the bar --------------------------------------------------------------------------------

local Bar = {}
Bar.__index = Bar

function M.new(o)
  return setmetatable({ write = o.write, columns = o.columns, began = o.now, every = o.every or 10,
    prefix = o.name and o.name .. ": " or "",
    done = 0, failed = 0, at = { o.now, 0 }, before = { o.now, 0 },
    due = o.columns() and o.now or o.now + (o.every or 10) }, Bar)
end

-- Of the last seconds, if anything came of them; else since the beginning.
local function rate(bar, now)
  local from = bar.done > bar.before[2] and bar.before or { bar.began, 0 }
  local time = now - from[1]
  return time > 0 and (bar.done - from[2]) / time or 0
end

local function note(bar, now)
  if now - bar.at[1] < math.max(WINDOW, (now - bar.began) / 8) then return end
  bar.before, bar.at = bar.at, { now, bar.done }
end

local function fraction(bar)
  if not bar.total or bar.total == 0 then return nil end
  return math.min(1, bar.done / bar.total)
end

local function progress(bar)
  local done = M.count(bar.done)
  if not bar.total then return done end
  local total = M.count(bar.total)
  return (" "):rep(#total - #done) .. done .. "/" .. total
end

local function elapsed(seconds)
  return seconds < 10 and ("%.1f s"):format(seconds) or M.span(seconds)
end

-- The parts of a line, the most important first; place: where it stands.
local function parts(bar, part, now)
  local list, time = {}, now - bar.began
  local function add(place, text) list[#list + 1] = { place, text } end
  add(2, progress(bar))
  if part then add(1, ("%3d%%"):format(math.floor(100 * part))) end
  if bar.failed > 0 then add(5, M.count(bar.failed) .. " failed") end
  local over = bar.over or part == 1
  local speed = over and time > 0 and bar.done / time or rate(bar, now)
  if over or not part then
    add(4, elapsed(time))
  elseif speed > 0 then
    add(4, "ETA " .. M.span((bar.total - bar.done) / speed))
  end
  if speed > 0 then add(3, M.rate(speed)) end
  return list
end

local function drawn(part, width)
  local full = math.floor(part * width)
  return "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "]"
end

-- What there is room for.
local function line(bar, now, width, with_bar)
  local part = fraction(bar)
  local chosen, used = {}, 0
  local room = math.min(MOST, width - TEXT)
  if with_bar and part and room >= LEAST then
    chosen[1] = { 0, drawn(part, room) }
    used = room + 2
  end
  for _, p in ipairs(parts(bar, part, now)) do
    local more = #p[2] + (used > 0 and 2 or 0)
    if used + more <= width then
      chosen[#chosen + 1] = p
      used = used + more
    end
  end
  table.sort(chosen, function(a, b) return a[1] < b[1] end)
  local texts = {}
  for i, p in ipairs(chosen) do texts[i] = p[2] end
  return table.concat(texts, "  ")
end

-- The last column stays free: to write there wraps the line on some terminals.
local function draw(bar, now)
  local columns = bar.columns()
  if columns then
    if columns == 0 then columns = WIDTH end
    bar.write(CLEAR .. line(bar, now, columns - 1, true) .. (bar.over and "\n" or ""))
    bar.due = now + REDRAW
  else
    bar.write(bar.prefix .. line(bar, now, WIDTH, false):gsub("^ +", "") .. "\n")
    bar.due = now + bar.every
  end
  bar.begun = true
end

function Bar:show(now, done, total, failed)
  self.done, self.total, self.failed = done, total, failed or 0
  if now < self.due then return end
  note(self, now)
  draw(self, now)
end

function Bar:finish(now)
  if self.over then return end
  self.over = true
  if self.begun or self.columns() then draw(self, now) end
end

return M
