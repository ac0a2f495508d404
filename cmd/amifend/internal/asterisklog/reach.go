package asterisklog

import "bytes"

// Messages whose text an attacker writes, with line ends in it, and how far that text reaches. A line that begins within
// that reach is not believed.
const (
	// tornReach is how far behind a security line its rest can begin, when a line end was injected. The longest AccountID
	// is chan_sip's, about 215 bytes.
	tornReach = 512

	// callReach is how long the extension of `Call from '…' (…) to extension '…' rejected because …` can be: it is
	// percent-decoded, and was a part of a header that is cut at 256 bytes (channels/chan_sip.c 16.28.0,
	// handle_request_invite and get_destination).
	callReach = 256

	// dumpReach is how long a SIP packet is at most. `sip set debug on` and `pjsip set logger on` print packets as they
	// are, and nothing in a log tells where one ends that its sender could not write too.
	dumpReach = 64 << 10
)

// extend notes how far the text of the current line may reach.
func (r *Reader) extend(line []byte, p prefix) {
	message := line
	if p.message != nil {
		message = p.message
	}
	switch {
	case bytes.Contains(line, []byte("<--- ")):
		r.dumpEnd = r.offset + int64(len(line)) + dumpReach
	case bytes.HasPrefix(message, []byte("Call from '")):
		if i := bytes.Index(message, []byte("to extension '")); i >= 0 {
			at := len(line) - len(message) + i + len("to extension '")
			r.callEnd = max(r.callEnd, r.offset+int64(at)+callReach)
		}
	}
}
