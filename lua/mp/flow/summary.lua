-- summary: the table of stages at the end of a run.  Pure.
-- SPDX-License-Identifier: MIT

local show = require "mp.flow.show"

local FORMAT <const> = "%-20s %7s %10s %10s %10s %8s"

local function line(...) return (FORMAT:format(...):gsub("%s+$", "")) end

local function rate(row, seconds)
  local n = row.role == "source" and row.given or row.taken
  return seconds > 0 and show.count(math.floor(n / seconds)) .. "/s" or "-"
end

-- summary(result of run) -> text
return function(result)
  local out = { line("stage", "workers", "items in", "items out", "rate", "busy") }
  for _, row in ipairs(result.rows) do
    out[#out + 1] = line(
      (row.inside and "  " or "") .. row.label,
      row.inside and "" or row.workers == 0 and "-" or row.workers,
      row.role == "source" and "-" or show.count(row.taken),
      row.role == "sink" and "-" or show.count(row.given),
      rate(row, result.seconds),
      row.inside and "" or ("%.2fs"):format(row.busy))
  end
  out[#out + 1] = ("%d processes, %.2f s"):format(result.processes, result.seconds)
  if result.deaths > 0 then
    out[#out + 1] = ("%d workers were replaced; what they did is not in this table")
      :format(result.deaths)
  end
  return table.concat(out, "\n")
end
