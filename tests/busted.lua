-- busted: the command of that name, ended by os.exit: at a script's ordinary end
-- mprun would run the flows that the specs declared.
--
-- SPDX-License-Identifier: MIT

require "busted.runner" { standalone = false }
os.exit(true, true)
