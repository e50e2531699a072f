-- Scrubjay in Neovim 0.12, by its own inline completion: no plugin is needed. Copy this file to
-- ~/.config/nvim/lua/scrubjay.lua and write require("scrubjay") into init.lua.
local M = {}

local link -- what the language server last said of its connection to the daemon: { kind, busy, message }
local daemon -- what the daemon does with its model: "loading", "ready", "unloaded" or "failed"
local n_items = 0 -- texts in the last answer
local asked -- how many texts further to show once an explicit request is answered; nil if there is none

--- Neovim itself only ever asks by itself, for one text: have `client` ask for alternatives when the user wants one.
local function ask_for_alternatives(client)
  local request = client.request
  client.request = function(self, method, params, handler, ...)
    if method ~= "textDocument/inlineCompletion" then
      return request(self, method, params, handler, ...)
    end
    local further = asked
    asked = nil
    if further then
      params.context.triggerKind = vim.lsp.protocol.InlineCompletionTriggerKind.Invoked
    end
    return request(self, method, params, function(err, result, ...)
      n_items = result and #(result.items or result) or 0
      handler(err, result, ...)
      if further and n_items > 1 then
        vim.lsp.inline_completion.select({ count = further })
      end
    end, ...)
  end
end

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
  on_init = ask_for_alternatives,
  handlers = {
    didChangeStatus = function(_, status)
      link, daemon = status, status.kind == "Normal" and daemon or nil
      vim.cmd.redrawstatus()
    end,
    ["scrubjay/state"] = function(_, state)
      daemon = state.state
      vim.cmd.redrawstatus()
    end,
    -- An answer may be had now that was not before: Neovim asks by itself at the next key.
    ["scrubjay/ready"] = function() end,
  },
})
vim.lsp.enable("scrubjay")
vim.lsp.inline_completion.enable()

local words = { loading = "warming", ready = "ready", unloaded = "unloaded", failed = "off" }

--- A word for the status line: ready, warming, unloaded (the next question loads the model) or off; empty where Scrubjay does not work.
function M.status()
  if #vim.lsp.get_clients({ name = "scrubjay", bufnr = 0 }) == 0 then
    return ""
  end
  if not link or link.busy then
    return "Scrubjay: warming"
  end
  return "Scrubjay: " .. (link.kind == "Normal" and (words[daemon] or "warming") or "off")
end

local function key(lhs, description, does)
  vim.keymap.set("i", lhs, function()
    return does() and "" or lhs
  end, { expr = true, desc = description })
end

key("<Tab>", "Accept ghost text", vim.lsp.inline_completion.get)

--- Of the text that is accepted, only the first word.
local function first_word(item)
  local text = item.insert_text
  local word = text:match("^%s*[%w_\128-\255]+") or text:match("^%s*[^%s%w_\128-\255]+") or text
  if word ~= text then
    local told = { item = { command = item.command }, acceptedLength = vim.str_utfindex(word, "utf-16") }
    vim.lsp.get_client_by_id(item.client_id):notify("textDocument/didPartiallyAcceptCompletion", told)
    item.insert_text, item.command = word, nil
  end
  return item
end

key("<M-Right>", "Accept a word of ghost text", function()
  return vim.lsp.inline_completion.get({ on_accept = first_word })
end)

--- Show the text that is `count` further than the one shown; ask for more if there is only that.
local function alternative(count)
  return function()
    if n_items > 1 then
      vim.lsp.inline_completion.select({ count = count })
    else
      asked = count
      vim.api.nvim_exec_autocmds("CursorMovedI", { buffer = 0 })
    end
    return true
  end
end

key("<M-n>", "Next alternative", alternative(1))
key("<M-p>", "Previous alternative", alternative(-1))

--- Why there is no ghost text here, a line for each station from the editor to the model.
function M.diagnose()
  local client = vim.lsp.get_clients({ name = "scrubjay", bufnr = 0 })[1]
  if not client then
    return { "NOT OK  the language server runs for this buffer: see :checkhealth vim.lsp, and `filetypes` in scrubjay.lua" }
  end
  local place = vim.lsp.util.make_position_params(0, client.offset_encoding)
  local arguments = { place.textDocument.uri, place.position }
  local answer, problem =
    client:request_sync("workspace/executeCommand", { command = "scrubjay.diagnose", arguments = arguments }, 30000, 0)
  if not answer or answer.err then
    return { "NOT OK  the language server answers: " .. (problem or answer.err.message) }
  end
  return vim.tbl_map(function(finding)
    return finding.ok and "ok      " .. finding.what or ("NOT OK  %s: %s"):format(finding.what, finding.help)
  end, answer.result)
end

vim.api.nvim_create_user_command("ScrubjayDiagnose", function()
  print(table.concat(M.diagnose(), "\n"))
end, { desc = "Why is there no ghost text here?" })

return M
