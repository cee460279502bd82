-- A person at Neovim, headless: opens FILE, picks the code action TITLE at LINE, waits for the job's end, writes.
-- The client is started as the README says for Neovim 0.7.
local file, line, title = vim.env.SOA_FILE, tonumber(vim.env.SOA_LINE), vim.env.SOA_TITLE
local root = vim.env.SOA_ROOT

local function fail(message)
  io.stderr:write(message .. '\n')
  vim.cmd('cquit 1')
end

local function wait(what, seconds, holds)
  if not vim.wait(seconds * 1000, holds, 50) then fail('not within ' .. seconds .. ' s: ' .. what) end
end

local ended
vim.lsp.handlers['soa/job'] = function(_, job)
  if job.state ~= 'running' then ended = job end
end
vim.lsp.handlers['soa/agent'] = function() end

vim.cmd('edit ' .. vim.fn.fnameescape(file))
vim.bo.filetype = 'python'
local id = vim.lsp.start_client({ name = 'soa', cmd = { 'soa', 'serve' }, root_dir = root })
vim.lsp.buf_attach_client(0, id)
wait('the server is ready', 120, function()
  local client = vim.lsp.get_client_by_id(id)
  return client ~= nil and client.initialized
end)

vim.api.nvim_win_set_cursor(0, { line, 4 })
local params = vim.lsp.util.make_range_params()
params.context = { diagnostics = {} }
local answers = vim.lsp.buf_request_sync(0, 'textDocument/codeAction', params, 60000)
local picked
for _, answer in pairs(answers or {}) do
  for _, action in ipairs(answer.result or {}) do
    if action.title == title then picked = action end
  end
end
if not picked then fail('no action ' .. title .. ' was offered') end
local command = type(picked.command) == 'table' and picked.command or picked
vim.lsp.buf_request_sync(0, 'workspace/executeCommand', { command = command.command, arguments = command.arguments }, 60000)

wait('the job has ended', 300, function() return ended ~= nil end)
wait('the edit is in the buffer', 60, function() return vim.bo.modified end)
vim.cmd('write')
print(vim.json and vim.json.encode({ state = ended.state, verdict = ended.verdict }) or vim.fn.json_encode({ state = ended.state, verdict = ended.verdict }))
vim.lsp.stop_client(id)
wait('the server has ended', 20, function() return vim.lsp.get_client_by_id(id) == nil or vim.lsp.client_is_stopped(id) end)
vim.cmd('qall!')
