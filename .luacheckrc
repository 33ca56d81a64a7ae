-- luacheck: what scripts may rely on without declaring it.
-- SPDX-License-Identifier: MIT

std = "lua54"
max_line_length = 120
unused_args = false  -- callbacks take what they are given

files["tests"] = { std = "lua54+busted" }
-- Pipeline scripts: the words that mprun gives them, and stages as globals.
local pipeline = {
  read_globals = { "mp", "flow", "stage", "filter", "fold", "source", "emit",
                   "defaults" },
  allow_defined_top = true,
  ignore = { "131" },  -- a stage's function is used by its name in the flow
}
files["examples"] = pipeline
files["tests/fuzz"] = pipeline
