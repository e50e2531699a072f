-- What the test asks Neovim 0.12, whose configuration is the README's. Loaded before that.
vim.opt.swapfile = false
vim.opt.shadafile = "NONE"

local function ghost()
  local text = {}
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, -1, 0, -1, { details = true })) do
    for _, chunk in ipairs(mark[4].virt_text or {}) do
      text[#text + 1] = chunk[1]
    end
    for _, line in ipairs(mark[4].virt_lines or {}) do
      text[#text + 1] = "\n"
      for _, chunk in ipairs(line) do
        text[#text + 1] = chunk[1]
      end
    end
  end
  return table.concat(text)
end

-- Waits for the server to be there, and returns its position encoding.
function Encoding()
  vim.wait(60000, function()
    local client = vim.lsp.get_clients()[1]
    return client ~= nil and client.initialized
  end)
  return vim.lsp.get_clients()[1].offset_encoding
end

-- Waits for ghost text, and returns it.
function Ghost()
  vim.wait(60000, function()
    return ghost() ~= ""
  end)
  return ghost()
end

local is_quiet, n_lines = true, 0

-- From now on, Neovim asks for ghost text, a short one, in Ask only, not whenever the cursor moves; and it indents nothing.
function Quiet()
  local client = vim.lsp.get_clients()[1]
  local request = client.request
  client.request = function(self, method, ...)
    if is_quiet and method == "textDocument/inlineCompletion" then
      return false
    end
    return request(self, method, ...)
  end
  client:notify("workspace/didChangeConfiguration", { settings = { scrubjay = { maxTokens = 4 } } })
  vim.bo.indentexpr, vim.bo.autoindent, vim.bo.formatoptions = "", false, ""
  n_lines = vim.api.nvim_buf_line_count(0)
  return ""
end

-- Asks for ghost text at the cursor, and returns it.
function Ask()
  is_quiet = false
  vim.api.nvim_exec_autocmds("CursorMovedI", { buffer = 0 })
  local text = Ghost()
  is_quiet = true
  return text
end

-- Accepts the first word of the ghost text, as a user would write it who has only what Neovim brings.
function AcceptWord()
  vim.lsp.inline_completion.get({
    on_accept = function(item)
      item.insert_text, item.command = item.insert_text:match("^%s*%S%S+"), nil
      return item
    end,
  })
  return ""
end

-- Takes back all that was written since Quiet.
function Erase()
  vim.api.nvim_buf_set_lines(0, n_lines, -1, true, {})
  return ""
end

function Text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), "\n")
end

-- Waits until an alternative is shown, with its number and how many there are.
function Alternative()
  vim.wait(60000, function()
    return ghost():find("%(%d/%d%)$") ~= nil
  end)
  return ghost()
end

-- What the user is told of the way from here to the model.
function Diagnosis()
  return table.concat(require("scrubjay").diagnose(), "\n")
end

-- What the status line says when the daemon has told that the model's memory was freed.
function Unloaded()
  local client = vim.lsp.get_clients()[1]
  client.config.handlers["scrubjay/state"](nil, { state = "unloaded", message = "" }, { client_id = client.id })
  return vim.api.nvim_eval_statusline(vim.o.statusline, {}).str
end

-- Has the server report what it has done.
function Status()
  local client = vim.lsp.get_clients()[1]
  local answer = client:request_sync("workspace/executeCommand", { command = "scrubjay.status" }, 60000)
  return vim.json.encode(answer.result.lsp)
end

-- Waits until the status line says that all is ready, and returns the line.
function StatusLine()
  local function line()
    return vim.api.nvim_eval_statusline(vim.o.statusline, {}).str
  end
  vim.wait(60000, function()
    return line():find("ready") ~= nil
  end)
  return line()
end
