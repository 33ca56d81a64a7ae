-- style: the colours of a drawn flow, and what a page makes of them.  Pure.
-- SPDX-License-Identifier: MIT
--
-- light, dark    { source, between, sink, command = { fill, line },
--                  ink = of names, soft = of small text, line = of arrows,
--                  failed = of errors, group = { fill, line } }
-- FONT, MONO     families
-- css()          rules that give an svg its dark colours. Classes of its parts: `box` and a
--                role, `arrow`, `error`, `group`, `rim`, `hull`, `small`, `failed`, `title`
-- escape(s)      for text and attributes in XML
-- width(s, size, mono) -> how wide a text will be, about

local columns = require "mp.flow.columns"

local M = {}

M.FONT = "Helvetica,Arial,sans-serif"
M.MONO = "Menlo,Consolas,monospace"

M.light = {
  source = { fill = "#dcfce7", line = "#16a34a" }, between = { fill = "#f8fafc", line = "#64748b" },
  sink = { fill = "#dbeafe", line = "#2563eb" }, command = { fill = "#fef3c7", line = "#b45309" },
  fork = { fill = "#64748b", line = "#64748b" }, group = { fill = "#ede9fe", line = "#a78bfa" },
  ink = "#0f172a", soft = "#52617a", line = "#64748b", failed = "#dc2626",
}

M.dark = {
  source = { fill = "#14351f", line = "#4ade80" }, between = { fill = "#1e293b", line = "#94a3b8" },
  sink = { fill = "#172a4a", line = "#60a5fa" }, command = { fill = "#3a2a10", line = "#fbbf24" },
  fork = { fill = "#94a3b8", line = "#94a3b8" }, group = { fill = "#2e2650", line = "#8b7bd8" },
  ink = "#f1f5f9", soft = "#a9b6c9", line = "#94a3b8", failed = "#f87171",
}

-- rules --------------------------------------------------------------------------

local function rule(classes, properties)
  local list = {}
  for i, class in ipairs(classes) do list[i] = class end
  return table.concat(list, ",") .. "{" .. properties .. "}"
end

-- A class's parts of some kinds: Graphviz makes paths, polygons and ellipses.
local function parts(class, ...)
  local list = {}
  for i, kind in ipairs { ... } do list[i] = class .. " " .. kind end
  return list
end

function M.css()
  local d, l = M.dark, M.light
  local list = {
    rule(parts(".box", "text"), "fill:" .. d.ink),
    rule(parts(".box", "text.small", ('text[fill="%s"]'):format(l.soft)), "fill:" .. d.soft),
    rule(parts(".box", "text.failed", ('text[fill="%s"]'):format(l.failed)), "fill:" .. d.failed),
    rule({ ".title", ".graph>text" }, "fill:" .. d.ink),
    rule(parts(".group", "path", "polygon", "rect"), ("fill:%s;stroke:%s"):format(d.group.fill, d.group.line)),
    rule(parts(".group", "text"), "fill:" .. d.group.line),
    rule(parts(".rim", "rect"), "fill:" .. d.group.line), rule(parts(".rim", "path"), "stroke:" .. d.group.line),
    rule(parts(".hull", "rect"), "fill:" .. d.group.fill), rule(parts(".hull", "path"), "stroke:" .. d.group.fill),
  }
  for _, role in ipairs { "source", "between", "sink", "command", "fork" } do
    list[#list + 1] = rule(parts(".box." .. role, "rect", "path", "polygon", "ellipse"),
      ("fill:%s;stroke:%s"):format(d[role].fill, d[role].line))
  end
  for _, x in ipairs { { ".arrow", d.line }, { ".arrow.error", d.failed } } do
    list[#list + 1] = rule(parts(x[1], "path", "polygon"), "stroke:" .. x[2])
    list[#list + 1] = rule(parts(x[1], "polygon", "text"), "fill:" .. x[2])
  end
  -- Graphviz draws a double line as three, the one between them invisible.
  list[#list + 1] = rule({ '.arrow path[stroke="transparent"]' }, "stroke:transparent")
  return "@media (prefers-color-scheme:dark){" .. table.concat(list) .. "}"
end

-- text ---------------------------------------------------------------------------

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

function M.escape(s) return (s:gsub('[&<>"]', entities)) end

-- Parts of the size that characters take in such fonts, about; 0.6 for the others.
local widths = {}
for parts_of, width in pairs { ["ijl.,:;|'!"] = 0.29, ["frtI()[]/\\ "] = 0.38, ["mwMW%@"] = 0.9,
                               ["ABCDEFGHJKLNOPQRSTUVXYZ&"] = 0.73 } do
  for c in parts_of:gmatch "." do widths[c] = width end
end

function M.width(s, size, mono)
  local n = 0
  for c in s:gmatch(utf8.charpattern) do
    n = n + (mono and 0.62 or widths[c] or 0.6) * math.max(1, columns.width(c))
  end
  return n * size
end

return M
