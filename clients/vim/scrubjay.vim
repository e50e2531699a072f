" Scrubjay as the server of the plugin llama.vim, in Vim 9.1 and Neovim. The daemon must listen for it:
"
"     scrubjay start --http 127.0.0.1:8012
"
" Source this before the plugin is loaded. What g:llama_config already says is kept.

let s:http = get(g:, 'scrubjay_http', '127.0.0.1:8012')

let g:llama_config = extend(get(g:, 'llama_config', {}), {
    \ 'endpoint_fim':  'http://' .. s:http .. '/infill',
    \ 'endpoint_inst': 'http://' .. s:http .. '/v1/chat/completions',
    \ }, 'keep')
