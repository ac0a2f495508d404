package ami

import "strconv"

// quoteLimit bounds the bytes of a value that Quote shows.
const quoteLimit = 64

// Quote returns b in double quotes, for a terminal, a log or JSON. Print bytes that an attacker may
// have chosen by this function only.
//
// Quote shows at most 64 bytes of b, and then the number of those left: `"aaaa"...(+1436 bytes)`.
// It escapes everything but printable ASCII, byte by byte. UTF-8 is escaped too, so that control
// sequences, look-alikes and right-to-left marks do not get through.
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
