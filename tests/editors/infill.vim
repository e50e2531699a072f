" A stand-in for llama.vim, which the test suite cannot download: it asks for the same in the same words, takes an answer only
" if that looks as the plugin wants it, and shows it by text properties, as the plugin does in Vim 9.

call prop_type_add('infill_ghost', {})
let s:job = v:null
let s:later = -1
let s:said = ''

function! s:request() abort
  let l:lnum = line('.')
  let l:before = strpart(getline('.'), 0, col('.') - 1)
  let l:after = strpart(getline('.'), col('.') - 1)
  let l:timings = []
  for l:kind in ['prompt', 'predicted']
    for l:name in ['_n', '_ms', '_per_token_ms', '_per_second']
      call add(l:timings, 'timings/' .. l:kind .. l:name)
    endfor
  endfor
  return {
    \ 'id_slot': 0,
    \ 'input_prefix': join(getline(max([1, l:lnum - 256]), l:lnum - 1), "\n") .. "\n",
    \ 'input_suffix': l:after .. "\n" .. join(getline(l:lnum + 1, l:lnum + 64), "\n") .. "\n",
    \ 'input_extra': [],
    \ 'prompt': l:before,
    \ 'n_predict': get(g:llama_config, 'n_predict', 128),
    \ 'stop': [],
    \ 'n_indent': indent('.'),
    \ 'top_k': 40,
    \ 'top_p': 0.90,
    \ 'samplers': ['top_k', 'top_p', 'infill'],
    \ 'stream': v:false,
    \ 'cache_prompt': v:true,
    \ 't_max_prompt_ms': get(g:llama_config, 't_max_prompt_ms', 500),
    \ 't_max_predict_ms': 250,
    \ 'response_fields': ['content'] + l:timings + ['truncated', 'tokens_cached'],
    \ 'model': '',
    \ }
endfunction

function! s:hide() abort
  call prop_remove({'type': 'infill_ghost', 'all': v:true})
  let s:said = ''
endfunction

function! s:show(asked_at, answer) abort
  if a:answer !~# '^\s*{' || a:answer !~# '\v"content"\s*:"' || a:asked_at != [line('.'), col('.'), getline('.')] || mode() !~# '^i'
    return
  endif
  let s:said = json_decode(a:answer).content
  let l:lines = split(s:said, "\n", 1)
  if s:said ==# ''
    return
  endif
  call prop_add(line('.'), col('.'), {'type': 'infill_ghost', 'text': l:lines[0]})
  for l:further in l:lines[1:]
    call prop_add(line('.'), 0, {'type': 'infill_ghost', 'text': l:further, 'text_align': 'below'})
  endfor
endfunction

" One request at a time; what was typed meanwhile is asked for once, a little later.
function! s:ask(...) abort
  call timer_stop(s:later)
  call s:hide()
  if mode() !~# '^i'
    return
  endif
  if s:job isnot v:null && job_status(s:job) ==# 'run'
    let s:later = timer_start(100, function('s:ask'))
    return
  endif
  let l:command = ['curl', '--silent', '--no-buffer', '--request', 'POST', '--url', g:llama_config.endpoint_fim,
    \ '--header', 'Content-Type: application/json', '--header', 'Authorization: Bearer ', '--data', '@-']
  let l:asked_at = [line('.'), col('.'), getline('.')]
  let s:job = job_start(l:command, {'out_cb': {_, answer -> s:show(l:asked_at, answer)}})
  let l:channel = job_getchannel(s:job)
  call ch_sendraw(l:channel, json_encode(s:request()))
  call ch_close_in(l:channel)
endfunction

function! s:accept() abort
  if s:said ==# ''
    return "\<Tab>"
  endif
  let l:said = s:said
  call timer_start(0, {-> s:insert(l:said)})
  return ''
endfunction

function! s:insert(said) abort
  call s:hide()
  let l:lines = split(a:said, "\n", 1)
  let l:line = getline('.')
  let l:after = strpart(l:line, col('.') - 1)
  let l:lines[0] = strpart(l:line, 0, col('.') - 1) .. l:lines[0]
  let l:column = len(l:lines[-1]) + 1
  let l:lines[-1] ..= l:after
  call setline('.', l:lines[0])
  call append('.', l:lines[1:])
  call cursor(line('.') + len(l:lines) - 1, l:column)
endfunction

autocmd TextChangedI * call s:ask()
autocmd InsertLeave * call s:hide()
inoremap <expr> <Tab> <SID>accept()
