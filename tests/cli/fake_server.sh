# A scripted MCP server for the tests of the command line: sh fake_server.sh MODE [NOTES]
# NOTES is a file that takes down the process id, and calls that hang or are cancelled.
# MODE: modern | older | picky (ends at the first message it does not expect) | mute | dying | stubborn | odd (lists what
# is no tool, and one twice)
mode=$1
notes=${2:-/dev/null}
echo "pid $$" >>"$notes"
echo "fake server ($mode) runs" >&2
[ "$mode" = dying ] && { echo "cannot open /data" >&2; exit 7; }
[ "$mode" = stubborn ] && trap '' TERM

text() { printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"}]%s}}\n' "$id" "$1" "$2"; }
fail() { printf '{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"%s"}}\n' "$id" "$1" "$2"; }

tools='[
{"name":"read_text_file","description":"Reads a file.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"head":{"type":"number"}},"required":["path"]}},
{"name":"echo_arguments","description":"Answers its arguments.","inputSchema":{"type":"object"}},
{"name":"fails","inputSchema":{"type":"object"}},
{"name":"breaks","inputSchema":{"type":"object"}},
{"name":"slow","inputSchema":{"type":"object"}},
{"name":"hangs","inputSchema":{"type":"object"}},
{"name":"picture","inputSchema":{"type":"object"}},
{"name":"dies","inputSchema":{"type":"object"}}]'
[ "$mode" = odd ] && tools='[{"name":7},
{"name":"twice","description":"A.","inputSchema":{"type":"object","properties":{}}},
{"name":"twice","description":"B.","inputSchema":{"type":"object","properties":{}}},
{"name":"flat","description":["C"]}]'
tools=$(printf '%s' "$tools" | tr -d '\n')

while IFS= read -r line; do
  id=${line#*\"id\":}
  id=${id%%,*}
  case $line in
  *'"method":"server/discover"'*)
    case $mode in
    modern | stubborn) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"]}}\n' "$id" ;;
    picky) echo "expected initialize" >&2; exit 1 ;;
    mute) ;;
    *) fail -32601 "Method not found" ;;
    esac ;;
  *'"method":"initialize"'*)
    [ "$mode" = mute ] || printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"fake","version":"0"}}}\n' "$id" ;;
  *'"method":"notifications/cancelled"'*) echo "cancelled" >>"$notes" ;;
  *'"method":"notifications/'*) ;;
  *'"method":"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":%s}}\n' "$id" "$tools" ;;
  *'"name":"read_text_file"'* | *'"name":"echo_arguments"'*)
    arguments=${line#*\"arguments\":}
    printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[],"structuredContent":%s}}\n' "$id" "${arguments%%\}*}}" ;;
  *'"name":"fails"'*) text "it went wrong" ',"isError":true' ;;
  *'"name":"breaks"'*) fail -32603 "broken" ;;
  *'"name":"hangs"'*) echo "hangs" >>"$notes" ;;
  *'"name":"slow"'*)
    printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1,"total":2}}\n' "$id"
    text "done" ;;
  *'"name":"picture"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"image","mimeType":"image/png","data":"QUJD"}]}}\n' "$id" ;;
  *'"name":"dies"'*) echo "out of luck" >&2; exit 9 ;;
  esac
done
# The end of stdin is the order to leave, which one mode ignores.
[ "$mode" = stubborn ] && while :; do sleep 1; done
exit 0
