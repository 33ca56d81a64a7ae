-- check: what a flow's notation means, or all that is wrong with it, before any
-- process starts.  Pure: it calls no stage; it evaluates arguments.
-- SPDX-License-Identifier: MIT
--
-- check(ast, env) -> nodes, mistakes, warnings
--   env       { stages = table to look names up in,
--               globals = environment of argument expressions,
--               defaults = { option = value }, set = { ["stage.option"] = text } }
--   nodes     list, in order of appearance, of
--             { id, name, spec, role, pool, key = { name, f }, options,
--               next = node | nil, before = { node … }, pos, len }
--   spec      { kind = "map" | "filter" | "fold" | "source" | "stage" |
--               "builtin", … }
--   mistakes, warnings   lists of { pos, len, message, hint }, in order of place

local builtin = require "mp.flow.builtin"
local key = require "mp.flow.key"
local option = require "mp.flow.option"
local stage = require "mp.flow.stage"
local suggest = require "mp.flow.suggest"

-- Part of the language, but not executed yet.
local later = {}
for name in ("files tail csv jsonl match batch window rate zip tee append in out"):gmatch "%a+" do
  later[name] = true
end

local links_later = {
  ["=>"] = "the ordered link '=>'",
  ["!>"] = "the error link '!>'",
  ["~>"] = "the durable link '~>'",
}

local constructors = { filter = stage.filter, fold = stage.fold, source = stage.source,
                       stage = stage.stage }

-- One check in progress.
local Check = {}
Check.__index = Check

function Check:mistake(at, message, hint)
  table.insert(self.mistakes, { pos = at.pos, len = at.len, message = message, hint = hint })
end

function Check:later(at, what)
  self:mistake(at, what .. " is not available in this version")
end

local function names_in(env)
  local names = {}
  for name in pairs(builtin) do names[#names + 1] = name end
  for name in pairs(later) do names[#names + 1] = name end
  for name, v in pairs(env.stages) do
    if type(name) == "string" and (stage.callable(v) or stage.is_stage(v)) then
      names[#names + 1] = name
    end
  end
  return names
end

-- arguments ------------------------------------------------------------------------

function Check:evaluate(value)
  if value.kind ~= "lua" then return 1, option.plain(value) end
  if value.mistake then
    self:mistake(value, "not a Lua expression: " .. value.mistake)
    return nil
  end
  local f = load("return " .. value.text, "=argument", "t", self.env.globals)
  local results = table.pack(pcall(f))
  if not results[1] then
    self:mistake(value, (tostring(results[2]):gsub("^argument:%d+: ", "")))
    return nil
  end
  return results.n - 1, table.unpack(results, 2, results.n)
end

-- The last argument may give several values, as in a Lua call.
function Check:arguments(term)
  local list, fine = { n = 0 }, true
  for i, value in ipairs(term.args or {}) do
    local got = table.pack(self:evaluate(value))
    local n = got[1]
    fine = fine and n ~= nil
    if n and i < #term.args then n = 1 end
    for j = 1, n or 1 do
      list.n = list.n + 1
      list[list.n] = got[j + 1]
    end
    if n and n >= 1 and value.kind == "lua" and got[2] == nil then
      self:mistake(value, ("the argument '%s' is nil"):format(value.text))
      fine = false
    end
  end
  return fine and list
end

-- stages ------------------------------------------------------------------------------

local function spec_of(v)
  if stage.is_stage(v) then return v end
  return { kind = "map", f = v }
end

function Check:constructed(term)
  local list = self:arguments(term)
  if not list then return nil end
  local fine, made = pcall(constructors[term.name], table.unpack(list, 1, list.n))
  if fine then return made end
  self:mistake(term, made)
end

function Check:builtin(term)
  local def = builtin[term.name]
  local list = self:arguments(term)
  if not list then return { kind = "broken", role = def.role } end
  local params, err = def.arguments(list)
  if not params then
    self:mistake(term, err)
    return { kind = "broken", role = def.role }
  end
  if def.fold then return setmetatable({ role = "between" }, { __index = def.fold }) end
  return { kind = "builtin", def = def, params = params, role = def.role }
end

-- What a name stands for: the script's own, then what is built in.
function Check:spec(term)
  local name = term.name
  local own = self.env.stages[name]
  if constructors[name] == own then own = nil end
  if stage.callable(own) or stage.is_stage(own) then
    if builtin[name] then
      table.insert(self.warnings, { pos = term.pos, len = term.len, level = "warning",
        message = ("the script's own '%s' hides the built-in one"):format(name) })
    end
    if term.args then
      self:mistake(term.args[1] or term,
        ("'%s' is a function of the script: it takes items, no arguments here"):format(name))
    end
    return spec_of(own)
  end
  if builtin[name] then return self:builtin(term) end
  if later[name] then
    self:later(term, (name == "in" or name == "out") and ("the port '%s'"):format(name)
      or ("the stage '%s'"):format(name))
  elseif constructors[name] and term.args then
    return self:constructed(term)
  elseif own ~= nil then
    self:mistake(term, ("'%s' is a %s, not a function"):format(name, type(own)))
  elseif constructors[name] then
    self:mistake(term, ("'%s' makes a stage: write name = %s… in Lua, and name here")
      :format(name, name))
  else
    self:mistake(term, ("no stage '%s'"):format(name),
                 suggest.hint(name, names_in(self.env)))
  end
  return nil
end

function Check:key(mark)
  local f = self.env.stages[mark.name]
  local at = { pos = mark.pos + 1, len = mark.len - 1 }
  if f == nil then
    local names = {}
    for name, v in pairs(self.env.stages) do
      if type(name) == "string" and stage.callable(v) then names[#names + 1] = name end
    end
    self:mistake(at, ("no key function '%s'"):format(mark.name),
                 suggest.hint(mark.name, names))
  elseif not stage.callable(f) then
    self:mistake(at, ("the key '%s' is a %s, not a function"):format(mark.name, type(f)))
  end
  return { name = mark.name, f = f, pos = mark.pos, len = mark.len }
end

function Check:pool(mark)
  if mark.cpu then return "cpu" end
  if mark.low then
    self:later(mark, "a pool that grows and shrinks (*a..b)")
    return nil
  end
  local n = math.tointeger(tonumber(mark.count))
  if not n or n < 1 or n > 10000 then
    self:mistake(mark, ("a pool of %s processes"):format(mark.count))
    return nil
  end
  return n
end

-- Options given in the notation; they are kept with their place.
function Check:options(into, opts, where)
  for _, opt in ipairs(opts or {}) do
    local value, message, hint = option.read(opt.name, opt.value)
    if value == nil then
      local at = message:find "expects" and opt.value or opt
      self:mistake(at, message, hint)
    elseif into[opt.name] ~= nil then
      self:mistake(opt, ("the option '%s' is given twice"):format(opt.name))
    elseif where == "link" and opt.name == "restarts" then
      self:mistake(opt, "'restarts' is an option of a stage, not of a link")
    else
      into[opt.name] = value
    end
  end
end

local function again(self, node, term)
  if term.args and node.args ~= term.args then
    self:mistake(term, ("'%s' has its arguments already"):format(node.id),
      ("another one is '%s#2%s'"):format(node.name, "(…)"))
  end
end

function Check:marks(node, term)
  for i, mark in ipairs(term.pools) do
    local n = self:pool(mark)
    if node.pool or i > 1 then
      self:mistake(mark, ("the pool of '%s' is given twice"):format(node.id))
    else
      node.pool, node.pool_at = n, mark
    end
  end
  for i, mark in ipairs(term.keys) do
    if node.key or i > 1 then
      self:mistake(mark, ("the key of '%s' is given twice"):format(node.id))
    else
      node.key = self:key(mark)
    end
  end
end

-- The node of a term: the one there is, or a new one.
function Check:node(term)
  local id = term.name .. (term.id and "#" .. term.id or "")
  local node = self.by_id[id]
  if self.seen[term] then return node end
  self.seen[term] = true
  if node then
    again(self, node, term)
  else
    node = { id = id, name = term.name, args = term.args, before = {}, options = {},
             pos = term.pos, len = term.len, spec = self:spec(term) }
    self.by_id[id] = node
    table.insert(self.nodes, node)
  end
  self:marks(node, term)
  self:options(node.options, term.opts)
  return node
end

-- chains ----------------------------------------------------------------------------------

function Check:group(term)
  self:later({ pos = term.pos, len = 1 }, "a group in brackets")
  for _, branch in ipairs(term.branches) do
    if type(branch) == "table" then self:chain(branch.chain) end
  end
end

-- The first and the last node of a term; macros stand for their chains.
function Check:term(term)
  if term.kind == "group" then return self:group(term) end
  if term.kind == "command" then
    self:options({}, term.opts)
    return self:later(term, "a shell command")
  end
  local macro = not term.id and self.macros[term.name]
  if not macro then
    local node = self:node(term)
    return node, node
  end
  if macro.open then
    self:mistake(term, ("the macro '%s' contains itself"):format(term.name))
    return nil
  end
  if term.args or term.opts or #term.pools + #term.keys > 0 then
    self:mistake(term, ("'%s' is a macro: arguments, pools and options stand in its chain")
      :format(term.name))
  end
  macro.open, macro.used = true, true
  local first, last = self:chain(macro.chain)
  macro.open = false
  return first, last
end

local function leads_to(from, to)
  while from and from ~= to do from = from.next end
  return from ~= nil
end

-- One step of a chain; false where it cannot be.
function Check:connect(link, from, to)
  if leads_to(to, from) then
    self:mistake(link, ("a loop: '%s' leads back to itself"):format(to.id),
      ("another one of the same function is '%s#2'"):format(to.name))
    return false
  end
  if from.next and from.next ~= to then
    self:mistake(link, ("the results of '%s' go to '%s' already: several ways out need "
      .. "a group, which is not available in this version"):format(from.id, from.next.id))
    return false
  end
  if from.next ~= to then
    from.next = to
    table.insert(to.before, from)
  end
  from.link = from.link or {}
  self:options(from.link, not self.seen[link] and link.opts or nil, "link")
  self.seen[link] = true
  return true
end

function Check:chain(chain)
  local first, last
  local broken = false
  for i = 1, #chain, 2 do
    local from, to = self:term(chain[i])
    local link = chain[i - 1]
    if link and links_later[link.op] then
      if not self.seen[link] then self:later(link, links_later[link.op]) end
      self.seen[link] = true
      broken = true
    elseif link and last and from then
      broken = not self:connect(link, last, from) or broken
    end
    broken = broken or not from
    if i == 1 then first = from end
    last = not broken and to or nil
  end
  if broken then self.partial = true end
  return first, last
end

function Check:collect_macros(ast)
  for _, statement in ipairs(ast) do
    if statement.macro then
      local at = { pos = statement.pos, len = #statement.macro }
      if self.macros[statement.macro] then
        self:mistake(at, ("the macro '%s' is given twice"):format(statement.macro))
      end
      self.macros[statement.macro] = { chain = statement.chain, pos = at.pos, len = at.len }
    end
  end
end

-- the whole ---------------------------------------------------------------------------------

function Check:roles()
  for _, node in ipairs(self.nodes) do
    local spec = node.spec
    if spec and spec.kind == "map" and #node.before == 0 then
      node.spec = { kind = "source", f = spec.f }
      spec = node.spec
    end
    node.role = spec and (spec.role or spec.kind == "source" and "source" or "between")
  end
end

function Check:ends(node)
  local first, last = #node.before == 0, node.next == nil
  if node.role == "source" and not first then
    self:mistake(node, ("'%s' is a source: nothing can flow into it"):format(node.id))
  elseif node.role == "sink" and not last then
    self:mistake(node.next, ("nothing comes out of '%s', which is a sink"):format(node.id))
  elseif node.role ~= "source" and first then
    self:mistake(node, ("'%s' has nothing to read: a flow begins with a source"):format(node.id))
  end
  if node.role ~= "sink" and last then
    local lost = self.text:match("^[^\n]-(%-%->)", node.pos)
    self:mistake(node, ("the results of '%s' go nowhere"):format(node.id),
      lost and "'-->' begins a comment; a link is '->'" or "'-> null' drops them, '-> stdout' prints them")
  end
end

function Check:workers(node)
  local spec, pool = node.spec, node.pool
  local at = node.pool_at or node
  if node.role == "source" and node.key then
    self:mistake(node.key, ("'%s' is a source: it has no items to tell apart by key"):format(node.id))
  end
  if not pool or pool == 1 then return end
  local def = spec.def
  if node.key and pool ~= "cpu" and pool > key.most_workers then
    self:mistake(at, ("a pool with a key has up to %d processes in this version"):format(key.most_workers))
  elseif spec.kind == "fold" and not node.key and not spec.merge then
    self:mistake(at, ("'%s' is a fold without a key and without 'merge': it needs one worker")
      :format(node.id), ("'%s@key' or a 'merge' function allow more"):format(node.id))
  elseif def and def.pool == "key" and not node.key then
    self:mistake(at, ("'%s' on several workers needs a key: '%s@key'"):format(node.id, node.id))
  elseif def and def.pool == "one" then
    self:mistake(at, ("'%s' works in one process"):format(node.id))
  end
end

-- Options from inside to outside: defaults, stage{}, the node, its link, -o.
function Check:settle(node)
  local env, set = self.env, node.options
  local all = {}
  for name, v in pairs(env.defaults or {}) do all[name] = v end
  for name, v in pairs(node.spec.options or {}) do
    local value, message, hint = option.read(name, v)
    if value == nil then self:mistake(node, message, hint) end
    all[name] = value
  end
  local outer = { set, env.set and env.set[node.id] }
  for _, from in ipairs(node.before) do table.insert(outer, 2, from.link) end
  for _, options in pairs(outer) do
    for name, v in pairs(options) do
      all[name], node.tuned = v, true
    end
  end
  if node.role == "source" and set.cap then
    self:mistake(node, ("'%s' is a source and reads no link: 'cap' belongs to the next stage")
      :format(node.id))
  end
  node.options = all
end

function Check:unused()
  for name, macro in pairs(self.macros) do
    if not macro.used then
      macro.used = true
      self:chain(macro.chain)
      if not self.partial then
        self:mistake(macro, ("the macro '%s' is never used"):format(name))
      end
    end
  end
end

local function in_order(list)
  for i, m in ipairs(list) do m.order = i end
  table.sort(list, function(a, b)
    if a.pos ~= b.pos then return a.pos < b.pos end
    return a.order < b.order
  end)
  for _, m in ipairs(list) do m.order = nil end
  return list
end

-- `broken`: the notation had mistakes, so what is missing may be in them.
local function check(ast, env, text, broken)
  local self = setmetatable({ env = env, text = text or "", nodes = {}, by_id = {}, macros = {},
    seen = {}, mistakes = {}, warnings = {}, partial = broken }, Check)
  self:collect_macros(ast)
  for _, statement in ipairs(ast) do
    if not statement.macro then self:chain(statement.chain) end
  end
  self:unused()
  if #ast == 0 and not broken then
    self:mistake({ pos = 1, len = 1 }, "the flow is empty")
  end
  self:roles()
  for _, node in ipairs(self.nodes) do
    if node.spec and node.spec.kind ~= "broken" then
      if not self.partial then self:ends(node) end
      self:workers(node)
      self:settle(node)
    end
  end
  return self.nodes, in_order(self.mistakes), in_order(self.warnings)
end

return check
