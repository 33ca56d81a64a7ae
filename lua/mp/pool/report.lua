-- report: what Pool:stats gives, as a table for people: tostring(pool:stats()).
--
-- Report   the metatable of what it gives
--
-- SPDX-License-Identifier: MIT

local bar = require "mp.bar"

local Report = { __name = "PoolStats" }

local function seconds(s)
  if s < 60 then return ("%.3f s"):format(s) end
  return bar.span(s)
end

local function bytes(n)
  return n and ("%.1f MiB"):format(n / 2^20) or "-"
end

-- Of the time that it was there.
local function share(w)
  local all = w.busy + w.idle
  return all > 0 and ("%.0f%%"):format(100 * w.busy / all) or "-"
end

local HEAD = { "worker", "pid", "tasks", "busy", "", "idle", "memory", "restarts" }

local function row(w)
  local restarts = tostring(w.restarts)
  if w.why then restarts = ("%s (%s)"):format(restarts, w.why) end
  return { tostring(w.number), w.pid and tostring(w.pid) or "-", bar.count(w.tasks), seconds(w.busy),
           share(w), seconds(w.idle), bytes(w.memory), restarts }
end

-- Columns as wide as they have to be, aligned to the right but for the last one.
local function aligned(rows)
  local widths, lines = {}, {}
  for _, r in ipairs(rows) do
    for i, text in ipairs(r) do widths[i] = math.max(widths[i] or 0, #text) end
  end
  for k, r in ipairs(rows) do
    local texts = {}
    for i, text in ipairs(r) do
      texts[i] = i == #r and text or (" "):rep(widths[i] - #text) .. text
    end
    lines[k] = table.concat(texts, "  ")
  end
  return lines
end

local function several(n, what)
  return ("%s %s%s"):format(bar.count(n), what, n == 1 and "" or "s")
end

local function summary(s)
  return ("%s: %s, %s (%s failed), %s running, %s waiting"):format(s.name, several(s.size, "worker"),
    several(s.tasks, "task"), bar.count(s.failed), bar.count(s.running), bar.count(s.waiting))
end

function Report.__tostring(s)
  local rows = { HEAD }
  for i, w in ipairs(s.workers) do rows[i + 1] = row(w) end
  local lines = aligned(rows)
  table.insert(lines, 1, summary(s))
  if #s.slowest > 0 then lines[#lines + 1] = "slowest:" end
  for _, x in ipairs(s.slowest) do
    lines[#lines + 1] = ("%10s  %s"):format(seconds(x.seconds), x.task)
  end
  return table.concat(lines, "\n")
end

return { Report = Report }
