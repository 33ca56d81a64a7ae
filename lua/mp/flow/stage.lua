-- stage: what scripts make stages from: filter, fold, source, stage{…}.
-- SPDX-License-Identifier: MIT
--
-- Each constructor returns { kind = "filter" | "fold" | "source" | "stage", … };
-- a plain function is a map, or a source in the first place of a flow.

local suggest = require "mp.flow.suggest"

local stage = {}

local Stage = { __name = "flow stage" }
Stage.__index = Stage

local function callable(v)
  local mt = getmetatable(v)
  return type(v) == "function" or type(mt) == "table" and mt.__call ~= nil
end

local function demand(ok, message, ...)
  if not ok then error(message:format(...), 3) end
end

local function fields(t, who, known)
  for k in pairs(t) do
    local found = false
    for _, name in ipairs(known) do found = found or name == k end
    if not found then
      local hint = suggest.hint(tostring(k), known)
      error(("%s: no field '%s'%s"):format(who, tostring(k),
        hint and " (" .. hint .. ")" or ""), 3)
    end
  end
end

function stage.is_stage(v) return getmetatable(v) == Stage end

stage.callable = callable

function stage.filter(pred)
  demand(callable(pred), "filter: a function expected, got %s", type(pred))
  return setmetatable({ kind = "filter", pred = pred }, Stage)
end

function stage.source(f)
  demand(callable(f), "source: a function expected, got %s", type(f))
  return setmetatable({ kind = "source", f = f }, Stage)
end

local fold_fields = { "init", "add", "done", "merge" }

function stage.fold(t)
  demand(type(t) == "table", "fold: a table expected, got %s", type(t))
  fields(t, "fold", fold_fields)
  demand(callable(t.add), "fold: 'add' must be a function, got %s", type(t.add))
  demand(t.done == nil or callable(t.done), "fold: 'done' must be a function")
  demand(t.merge == nil or callable(t.merge), "fold: 'merge' must be a function")
  local init = t.init
  demand(type(init) ~= "table" or callable(init),
         "fold: 'init' must be a function that returns a fresh table")
  local make = callable(init) and init or function() return init end
  return setmetatable({ kind = "fold", init = make, add = t.add, done = t.done,
                        merge = t.merge }, Stage)
end

-- Options stand beside open, item and close; check says whether they exist.
function stage.stage(t)
  demand(type(t) == "table", "stage: a table expected, got %s", type(t))
  local self = { kind = "stage", options = {} }
  for k, v in pairs(t) do
    if k == "open" or k == "item" or k == "close" then
      demand(callable(v), "stage: '%s' must be a function, got %s", k, type(v))
      self[k] = v
    else
      self.options[k] = v
    end
  end
  demand(self.item, "stage: 'item' is missing: what to do with an item")
  return setmetatable(self, Stage)
end

return stage
