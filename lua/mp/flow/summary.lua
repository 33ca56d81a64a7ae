-- summary: the table of stages at the end of a run.  Pure.
-- SPDX-License-Identifier: MIT
--
-- summary(result of run) -> text.  result is { rows, seconds, processes, deaths }; a row
-- is { label, role, workers, taken, given, busy, [inside], [blocked], [failed], [skipped],
-- [retried], [replaced] }: see live.lua.

local bar = require "mp.bar"
local columns = require "mp.flow.columns"

local WIDEST <const> = 40   -- a label; commands can be long

local function rate(row, seconds)
  local n = row.role == "source" and row.given or row.taken
  return seconds > 0 and n > 0 and bar.rate(n / seconds) or "-"
end

local function workers(row)
  if row.inside then return "" end
  local n = math.max(row.workers, row.most or 0)
  return n == 0 and "-" or bar.count(n)
end

local function time(seconds)
  return seconds < 60 and ("%.2fs"):format(seconds) or bar.span(seconds)
end

local function own(name)
  return function(row) return row.inside and "" or time(row[name] or 0) end
end

local function number(name, but)
  return function(row)
    if row.role == but then return "-" end
    local n = row[name] or 0
    return (but or n > 0) and bar.count(n) or ""
  end
end

-- head, cell(row, seconds); `rare`: only where a row has this many of that field.
local layout = {
  { "stage", function(row)
    return (row.inside and "  " or "") .. columns.cut(columns.clean(row.label), WIDEST)
  end, left = true },
  { "workers", workers },
  { "items in", number("taken", "source") },
  { "items out", number("given", "sink") },
  { "rate", rate },
  { "busy", own "busy" },
  { "blocked", own "blocked", rare = "blocked", least = 0.005 },
  { "failed", number "failed", rare = "failed" },
  { "skipped", number "skipped", rare = "skipped" },
  { "retried", number "retried", rare = "retried" },
}

local function wanted(part, rows)
  if not part.rare then return true end
  for _, row in ipairs(rows) do
    if (row[part.rare] or 0) >= (part.least or 1) then return true end
  end
  return false
end

local function several(n, what)
  return ("%s %s%s"):format(bar.count(n), what, n == 1 and "" or what:sub(-1) == "s" and "es" or "s")
end

-- Whose workers were replaced, as far as the rows tell.
local function replaced(result)
  local whose = {}
  for _, row in ipairs(result.rows) do
    if (row.replaced or 0) > 0 then
      whose[#whose + 1] = ("%s %s"):format(columns.clean(row.label), bar.count(row.replaced))
    end
  end
  local n = result.deaths
  return several(n, "worker") .. (n == 1 and " was replaced" or " were replaced")
    .. (#whose > 0 and " (" .. table.concat(whose, ", ") .. ")" or "")
    .. ("; what %s did last may be missing here"):format(n == 1 and "it" or "they")
end

return function(result)
  local list = {}
  for _, part in ipairs(layout) do
    if wanted(part, result.rows) then
      local column = { head = part[1], rank = 0, left = part.left }
      for i, row in ipairs(result.rows) do column[i] = part[2](row, result.seconds) end
      list[#list + 1] = column
    end
  end
  local lines = columns.set(list, math.huge)
  lines[#lines + 1] = several(result.processes, "process") .. ", " .. time(result.seconds)
  if result.deaths > 0 then lines[#lines + 1] = replaced(result) end
  if (result.dropped or 0) > 0 then
    lines[#lines + 1] = several(result.dropped, "item") .. " dropped at full links"
  end
  return table.concat(lines, "\n")
end
