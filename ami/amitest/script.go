package amitest

import (
	"bytes"
	"time"
)

// Step is one action of a PBX on its connections; see PBX.Play.
type Step struct {
	bytes []byte
	pause time.Duration
	cut   bool
}

// Send writes data as it is, in one write.
func Send(data []byte) Step { return Step{bytes: data} }

// SendEvents writes the packets of events in one write.
func SendEvents(events ...Event) Step { return Step{bytes: Packets(events...)} }

// Pause sends nothing for d.
func Pause(d time.Duration) Step { return Step{pause: d} }

// Cut closes the connection once all before it is written.
func Cut() Step { return Step{cut: true} }

// Split returns the steps that write data in pieces of size bytes with a pause after each.
func Split(data []byte, size int, pause time.Duration) []Step {
	var steps []Step
	for len(data) > 0 {
		n := min(max(size, 1), len(data))
		steps = append(steps, Send(data[:n]))
		if pause > 0 {
			steps = append(steps, Pause(pause))
		}
		data = data[n:]
	}

	return steps
}

// Capture returns the part of a recorded stream after the login. It leaves out the parts of the
// recorder's own session: the banner, the response to the Login action and the recorder's own
// SuccessfulAuth. It returns a stream of another form whole.
func Capture(recorded []byte) []byte {
	rest, found := bytes.CutPrefix(recorded, []byte("Asterisk Call Manager/"))
	if !found {
		return recorded
	}

	for _, end := range []string{"\r\n", "\r\n\r\n"} { // the banner, the response
		if _, after, found := bytes.Cut(rest, []byte(end)); found {
			rest = after
		}
	}

	// The recorder's own login is not a part of the recorded traffic.
	first, after, found := bytes.Cut(rest, []byte("\r\n\r\n"))
	if found && bytes.HasPrefix(first, []byte("Event: SuccessfulAuth")) &&
		bytes.Contains(first, []byte("\r\nService: AMI\r\n")) {
		return after
	}

	return rest
}
