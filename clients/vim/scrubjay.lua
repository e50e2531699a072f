-- Scrubjay in Neovim 0.12, by its own inline completion: no plugin is needed. Copy this file to
-- ~/.config/nvim/lua/scrubjay.lua and write require("scrubjay") into init.lua.
local M = {}

local link -- what the language server last said of its connection to the daemon: { kind, busy, message }

vim.lsp.config("scrubjay", {
  cmd = vim.g.scrubjay_cmd or { "scrubjay", "lsp" },
  -- Not in the project: no file of it may be taken for a part of the program.
  cmd_cwd = "/",
  cmd_env = { PYTHONSAFEPATH = "1" },
  filetypes = { "python", "lua", "c", "cpp", "rust", "go", "javascript", "typescript" },
  root_markers = { ".git" },
  -- A client with a name is told the state of the connection to the daemon.
  init_options = {
    editorPluginInfo = { name = "neovim", version = tostring(vim.version()) },
    model = vim.g.scrubjay_model, -- nil: what `scrubjay model use` has set
  },
  handlers = {
    didChangeStatus = function(_, status)
      link = status
      vim.cmd.redrawstatus()
    end,
    -- An answer may be had now that was not before: Neovim asks by itself at the next key.
    ["scrubjay/ready"] = function() end,
  },
})
vim.lsp.enable("scrubjay")
vim.lsp.inline_completion.enable()

--- A word for the status line: ready, warming or off; empty where Scrubjay does not work.
function M.status()
  if #vim.lsp.get_clients({ name = "scrubjay", bufnr = 0 }) == 0 then
    return ""
  end
  if not link or link.busy then
    return "Scrubjay: warming"
  end
  return link.kind == "Normal" and "Scrubjay: ready" or "Scrubjay: off"
end

local function key(lhs, description, does)
  vim.keymap.set("i", lhs, function()
    return does() and "" or lhs
  end, { expr = true, desc = description })
end

key("<Tab>", "Accept ghost text", vim.lsp.inline_completion.get)
key("<M-n>", "Next alternative", function()
  vim.lsp.inline_completion.select()
  return true
end)
key("<M-p>", "Previous alternative", function()
  vim.lsp.inline_completion.select({ count = -1 })
  return true
end)

return M
