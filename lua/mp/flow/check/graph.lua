-- graph: nodes and the ways between them, from the statements of a flow.
-- SPDX-License-Identifier: MIT
--
-- A piece is what a part of the notation stands for:
--   { node = node }
--   { first = piece, last = piece }                       a chain, a macro
--   { kind = "all" | "any" | "route", branches = { piece … }, labels, other, at }
-- A link leads from the exits of one piece to the heads of the next.  Where one
-- cannot be made, both its ends are marked, so that nobody complains of what is
-- only a consequence: check.cut[node] has lost a way out, check.lost[node] one in.
-- check.fed[node]: it stands behind a link, made or not.

local name = require "mp.flow.check.name"
local setting = require "mp.flow.check.setting"
local way = require "mp.flow.check.way"

local graph = {}

-- nodes ----------------------------------------------------------------------------

local function again(check, node, term)
  if term.args then
    check:mistake(term, ("'%s' has its arguments already"):format(node.id),
      ("another one is '%s#2(…)'"):format(node.name))
  end
end

local function marks(check, node, term)
  for i, mark in ipairs(term.pools) do
    local n = name.pool(check, mark)
    if check.pool_at[node] or i > 1 then
      check:mistake(mark, ("the pool of '%s' is given twice"):format(node.id))
    else
      node.pool, check.pool_at[node] = n, mark
    end
  end
  for i, mark in ipairs(term.keys) do
    if node.key or i > 1 then
      check:mistake(mark, ("the key of '%s' is given twice"):format(node.id))
    else
      node.key = name.key(check, mark)
    end
  end
end

-- The node of a term: the one there is, or a new one.
local function node_of(check, term)
  local what = term.kind == "command" and "`" .. term.text .. "`" or term.name
  local id = what .. (term.id and "#" .. term.id or "")
  local node = check.by_id[id]
  if node then
    again(check, node, term)
  else
    node = { id = id, name = what, args = term.args, options = {}, ins = {}, pos = term.pos,
             len = term.len, spec = name.spec(check, term) }
    check.by_id[id] = node
    table.insert(check.nodes, node)
  end
  marks(check, node, term)
  setting.read(check, term.opts, { node.options })
  return node
end

-- exits and heads ------------------------------------------------------------------

local function is_sink(check, node)
  return node.spec.role == "sink" or node.spec.kind == "either" and check.fed[node]
end

local function fails(node)
  local def = node.spec.def
  return not (def and (def.owner or def.port))
end

-- The nodes from which a piece's results, or errors, come, each of them once.
-- A group's branch may end in a sink: that has errors, but no results.
local function exits(check, piece, errors)
  local found, into = {}, {}
  local function search(part, within)
    if part.node then
      local node = part.node
      local fits = not within or errors and fails(node) or not is_sink(check, node)
      if fits and not found[node] then into[#into + 1] = node end
      found[node] = found[node] or fits
    elseif part.last then
      search(part.last, within)
    end
    for _, branch in ipairs(part.branches or {}) do search(branch, true) end
  end
  search(piece, false)
  return into
end

-- The nodes at which items come into a piece.
local function heads(piece, into)
  if piece.node then
    into[#into + 1] = piece.node
  elseif piece.first then
    heads(piece.first, into)
  end
  for _, branch in ipairs(piece.branches or {}) do heads(branch, into) end
  return into
end

local function outlet(piece, link, from)
  if piece.node then
    return { kind = "to", to = piece.node, from = from, op = link.op, options = {},
             pos = link.pos, len = link.len }
  end
  if piece.first then return outlet(piece.first, link, from) end
  if not piece.branches then return nil end
  local at = piece.at
  local o = { kind = piece.kind, labels = piece.labels and {}, pos = at.pos, len = at.len }
  for i, branch in ipairs(piece.branches) do
    local part = outlet(branch, link, from)
    if branch == piece.other then
      o.other = part
    elseif part then
      o[#o + 1] = part
      if o.labels then o.labels[#o] = piece.labels[i] end
    end
  end
  if o.kind ~= "route" and #o < 2 then return o[1] end
  return o
end

-- links ----------------------------------------------------------------------------

local function fed(check, to)
  for _, node in ipairs(heads(to, {})) do check.fed[node] = true end
end

local function loosen(check, from, to)
  for _, node in ipairs(from and exits(check, from, false) or {}) do check.cut[node] = true end
  for _, node in ipairs(to and heads(to, {}) or {}) do check.lost[node] = true end
end

local function two_ways(check, link, from, old, new)
  local what = link.op == "!>" and "errors" or "results"
  local hint = "a group has several: '&' sends to each of them, '|' to whichever is free"
  if old.kind == "to" and new.kind == "to" then
    local a, b = old.to.id, new.to.id
    hint = ("'%s %s (%s & %s)' sends to both, '(%s | %s)' to whichever is free")
      :format(from.id, link.op, a, b, a, b)
  end
  check:mistake(link, ("the %s of '%s' go to '%s' already"):format(what, from.id, way.text(old)), hint)
end

local function loops(check, link, from, new)
  for _, l in ipairs(way.links(new)) do
    if l.to == from or #from.ins > 0 and way.leads(l.to, from) then
      check:mistake(link, ("a loop: '%s' leads back to itself"):format(l.to.id),
        ("another one of the same function is '%s#2'"):format(l.to.name))
      return true
    end
  end
  return false
end

-- Said before: only options may be new.  Otherwise the new way, or nil.
local function compared(check, link, from, new)
  local old = from[link.op == "!>" and "err" or "out"]
  if not old then
    return not loops(check, link, from, new) and new or nil
  elseif not way.same(old, new) then
    two_ways(check, link, from, old, new)
    return nil
  end
  local op = way.links(old)[1].op
  if op ~= link.op then
    check:mistake(link, ("'%s' is linked to '%s' by '%s' already")
      :format(from.id, way.text(old), op))
  end
  return old
end

-- One link of the notation, from each exit of a piece to the heads of another.
local function connect(check, link, from, to)
  if to then fed(check, to) end
  if not (from and to) then return loosen(check, from, to) end
  if link.op == "~>" then
    check:mistake(link, "a durable link needs a cluster, which is not available in this version",
      "'->' is the link within one host")
  end
  local nodes = exits(check, from, link.op == "!>")
  if #nodes == 0 and not from.broken then
    check:mistake(link, "nothing comes out of this group: each of its branches ends in a sink")
  end
  if #nodes == 0 then loosen(check, nil, to) end
  local links = {}
  for _, node in ipairs(nodes) do
    local new = outlet(to, link, node)
    local settled = new and compared(check, link, node, new)
    if not settled then
      check.cut[node] = true
      loosen(check, nil, to)
    else
      if settled == new then
        node[link.op == "!>" and "err" or "out"] = new
        for _, l in ipairs(way.links(new)) do table.insert(l.to.ins, l) end
      end
      for _, l in ipairs(way.links(settled)) do links[#links + 1] = l.options end
    end
  end
  setting.read(check, link.opts, links)
end

-- pieces ---------------------------------------------------------------------------

local ELSE <const> = {}

local function label_of(check, label)
  if label.mistake then check:mistake(label, label.mistake) end
  if label.kind == "string" then return label.value end
  return label.text == "else" and ELSE or label.text
end

-- Which of a group's branches have which labels, and how many have one.
local function labels(check, term, piece)
  local seen, given = {}, 0
  for i, branch in ipairs(term.branches) do
    local at = branch.label
    if at then
      given = given + 1
      local label = label_of(check, at)
      if seen[label] then
        check:mistake(at, label == ELSE and "a second 'else'"
          or ("the label '%s' is given twice"):format(label))
      end
      seen[label] = true
      if label == ELSE then piece.other = piece.branches[i] else piece.labels[i] = label end
    end
  end
  return given
end

local function check_labels(check, term, piece, given)
  if given == 0 then return end
  local first
  for _, branch in ipairs(term.branches) do first = first or branch.label end
  if term.op == "&" then
    check:mistake(first, "labels in a group with '&', which sends to all of it",
      "a group that chooses by label is '(x: b | y: c)'")
  else
    table.insert(check.routes, { piece = piece, at = first })
  end
  for _, branch in ipairs(term.branches) do
    if not branch.label then
      check:mistake(branch.chain[1], "a branch without a label among labelled ones",
        "'else: …' takes what no label names")
    end
  end
end

-- A node to which this branch and an earlier one lead the same item.  Of those
-- that share, only twins that stand alone are pointless.
local function twin(piece, branch, seen)
  local nodes = heads(branch, {})
  if piece.kind == "any" and #nodes > 1 then return nil end
  local found
  for _, node in ipairs(nodes) do
    if seen[node] and seen[node] ~= branch then found = found or node end
    seen[node] = branch
  end
  return found
end

local function check_twins(check, term, piece)
  local seen = {}
  for i, branch in ipairs(piece.kind ~= "route" and piece.branches or {}) do
    local node = twin(piece, branch, seen)
    if node then
      check:mistake(term.branches[i].chain[1],
        ("this group leads to '%s' twice"):format(node.id),
        ("another one of the same function is '%s#2'"):format(node.name))
    end
  end
end

local piece_of

local function chain_of(check, chain, entered)
  local first = piece_of(check, chain[1], entered)
  local last = first
  for i = 2, #chain, 2 do
    local to = piece_of(check, chain[i + 1], true)
    connect(check, chain[i], last, to)
    last = to
  end
  return { first = first, last = last, broken = not last or last.broken }
end

local function group(check, term, entered)
  local piece = { branches = {}, labels = {}, at = { pos = term.pos, len = term.len } }
  for i, branch in ipairs(term.branches) do
    local part = chain_of(check, branch.chain, entered)
    piece.branches[i] = part
    piece.broken = piece.broken or part.broken
  end
  local given = labels(check, term, piece)
  check_labels(check, term, piece, given)
  piece.kind = given > 0 and term.op ~= "&" and "route" or term.op == "&" and "all" or "any"
  if piece.kind ~= "route" then piece.labels, piece.other = nil, nil end
  check_twins(check, term, piece)
  return piece
end

-- A macro stands for its chain, whose nodes are the same wherever it stands.
local function macro_of(check, term, macro, entered)
  macro.used = true
  if macro.open then
    check:mistake(term, ("the macro '%s' contains itself"):format(term.name))
    return nil
  end
  if term.args or term.opts or #term.pools + #term.keys > 0 then
    check:mistake(term, ("'%s' is a macro: arguments, pools and options stand in its chain")
      :format(term.name))
  end
  if not macro.piece then
    macro.open = true
    macro.piece = chain_of(check, macro.chain, entered)
    macro.open = false
  end
  return macro.piece
end

function piece_of(check, term, entered)
  if term.kind == "group" then return group(check, term, entered) end
  local macro = term.kind == "node" and not term.id and check.macros[term.name]
  if macro then return macro_of(check, term, macro, entered) end
  local node = node_of(check, term)
  if entered then check.fed[node] = true end
  return { node = node }
end

-- statements -----------------------------------------------------------------------

local function collect_macros(check, ast)
  for _, statement in ipairs(ast) do
    local word = statement.macro
    if word then
      local at = { pos = statement.pos, len = #word }
      if check.macros[word] then
        check:mistake(at, ("the macro '%s' is given twice"):format(word))
      else
        if check.builtin[word] then
          check:warning(at, ("the macro '%s' hides the built-in stage"):format(word))
        end
        check.macros[word] = { chain = statement.chain, pos = at.pos, len = at.len }
      end
    end
  end
end

local function unused(check, ast)
  for _, statement in ipairs(ast) do
    local macro = check.macros[statement.macro]
    if macro and not macro.used then
      macro.used = true
      local piece = chain_of(check, macro.chain, false)
      loosen(check, piece, piece)
      if not check.partial then
        check:mistake(macro, ("the macro '%s' is never used"):format(statement.macro))
      end
    end
  end
end

-- What stands before a group may be said in a later statement, as of a macro.
local function unlabelled(check)
  for _, route in ipairs(check.routes) do
    local reached = false
    for _, node in ipairs(heads(route.piece, {})) do
      reached = reached or check.fed[node] or check.lost[node]
    end
    if not reached then
      check:mistake(route.at, "labels in the first place of a flow: no stage before them gives any")
    end
  end
end

-- Fills check.nodes.
function graph.build(check, ast)
  collect_macros(check, ast)
  for _, statement in ipairs(ast) do
    if not statement.macro then chain_of(check, statement.chain, false) end
  end
  unused(check, ast)
  unlabelled(check)
end

return graph
