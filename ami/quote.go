package ami

import "strconv"

// quoteLimit bounds the bytes of a value that Quote shows.
const quoteLimit = 64

// Quote returns b in double quotes, for a terminal, a log or JSON: the one way in which bytes that
// an attacker may have chosen are printed. It shows at most 64 bytes of b and then says how many
// are left: `"aaaa"...(+1436 bytes)`. Everything but printable ASCII is escaped, byte by byte: no
// UTF-8 is taken for text, so that neither control sequences nor look-alikes nor right-to-left
// marks get through.
func Quote(b []byte) string {
	shown := b
	if len(b) > quoteLimit {
		shown = b[:quoteLimit]
	}
	out := make([]byte, 0, len(shown)+32)

	out = append(out, '"')
	for _, c := range shown {
		out = appendQuoted(out, c)
	}
	out = append(out, '"')

	if left := len(b) - len(shown); left > 0 {
		out = append(out, "...(+"...)
		out = strconv.AppendInt(out, int64(left), 10)
		out = append(out, " bytes)"...)
	}

	return string(out)
}

func appendQuoted(out []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c == '"' || c == '\\':
		return append(out, '\\', c)
	case c == '\r':
		return append(out, `\r`...)
	case c == '\n':
		return append(out, `\n`...)
	case c == '\t':
		return append(out, `\t`...)
	case c >= ' ' && c <= '~':
		return append(out, c)
	default:
		return append(out, '\\', 'x', hex[c>>4], hex[c&15])
	}
}
