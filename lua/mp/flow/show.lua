-- show: short forms of values and endings, for people.  Pure.
-- SPDX-License-Identifier: MIT

local show = {}

local LONGEST <const> = 60

local function cut(s)
  s = s:gsub("[%c]", " ")
  if #s <= LONGEST then return s end
  s = s:sub(1, LONGEST)
  while s:byte(-1) >= 0x80 and s:byte(-1) < 0xC0 do s = s:sub(1, -2) end
  if s:byte(-1) >= 0xC0 then s = s:sub(1, -2) end
  return s .. "…"
end

local function field(k, v)
  local text = type(v) == "string" and '"' .. v .. '"' or type(v) == "table" and "{…}" or tostring(v)
  return math.type(k) == "integer" and text or tostring(k) .. "=" .. text
end

-- An item in an error report.
function show.item(v)
  if type(v) == "string" then return '"' .. cut(v) .. '"' end
  if type(v) ~= "table" then return cut(tostring(v)) end
  local list, names = {}, {}
  for i, x in ipairs(v) do
    if i <= 8 then list[i] = field(i, x) end
  end
  for k in pairs(v) do
    if type(k) == "string" then names[#names + 1] = k end
  end
  table.sort(names)
  for _, k in ipairs(names) do list[#list + 1] = field(k, v[k]) end
  return cut("{" .. table.concat(list, ", ") .. "}")
end

-- An error value that is no string.
function show.value(e)
  local mt = getmetatable(e)
  if type(e) == "table" and not (type(mt) == "table" and mt.__tostring) then
    return type(e.message) == "string" and e.message or show.item(e)
  end
  return tostring(e)
end

local signals = { [1] = "SIGHUP", [2] = "SIGINT", [3] = "SIGQUIT", [4] = "SIGILL", [6] = "SIGABRT",
  [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL", [11] = "SIGSEGV", [13] = "SIGPIPE",
  [15] = "SIGTERM", [24] = "SIGXCPU", [25] = "SIGXFSZ" }

-- How a process ended that should not have.
function show.ending(exitcode)
  if exitcode == nil then return "ended, nobody knows how" end
  if exitcode < 0 then return "killed by " .. (signals[-exitcode] or "signal " .. -exitcode) end
  return ("ended with status %d"):format(exitcode)
end

return show
