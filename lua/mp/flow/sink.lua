-- sink: built-in stages at the end of a flow: stdout, null, collect.
-- SPDX-License-Identifier: MIT

local argument = require "mp.flow.argument"

local sink = {}

local function encoder()
  local ok, cjson = pcall(require, "cjson")
  if not ok then
    error("stdout: a table is written as JSON, which needs the module 'cjson' (lua-cjson)", 0)
  end
  return cjson.encode
end

local function line_of()
  local encode
  return function(v)
    if type(v) ~= "table" then return tostring(v) end
    encode = encode or encoder()
    return encode(v)
  end
end

local function unwritable(why)
  error("cannot write to standard output: " .. why, 0)
end

sink.stdout = {
  role = "sink", pool = "any", prints = true,
  arguments = argument.nothing "stdout",
  make = function()
    local text, out = line_of(), io.stdout
    out:setvbuf "full"
    return { item = function(v)
      local ok, err = out:write(text(v), "\n")
      if not ok then unwritable(err) end
    end, flush = function()
      local ok, err = out:flush()
      if not ok then unwritable(err) end
    end }
  end,
}

sink.null = {
  role = "sink", pool = "any",
  arguments = argument.nothing "null",
  make = function() return { item = function() end } end,
}

sink.collect = {
  role = "sink", pool = "one", owner = true,
  arguments = argument.nothing "collect",
}

return sink
