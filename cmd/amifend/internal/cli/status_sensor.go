package cli

import (
	"fmt"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// provenText returns what the nonces showed; "" if they show nothing.
func provenText(s control.Sensor) string {
	proves := 0
	for _, one := range s.Servers {
		if one.Proves {
			proves++
		}
	}
	if proves == 0 {
		return ""
	}

	out := fmt.Sprintf("%s over UDP proven by nonces", wording.Count(s.Proven, "event"))
	if s.Astray > 0 {
		out += fmt.Sprintf(", %s led astray", wording.Count(s.Astray, "answer"))
	}
	return out
}

// sensorText returns the state of the kernel sensor in one line, and a line for each PBX that it does
// not judge.
func sensorText(s control.Sensor) string {
	if !s.On {
		return "off: " + s.Problem
	}

	// Counting alone gives no evidence, so nobody is banned for it.
	var b strings.Builder
	judged := 0
	for _, one := range s.Servers {
		if one.Judging {
			judged++
		}
	}
	fmt.Fprintf(&b, "on, %d of %s compared: %s hidden from Asterisk's log", judged,
		wording.Count(len(s.Servers), "server"), wording.Count(s.Evidence, "request"))
	if s.Accepted > 0 {
		fmt.Fprintf(&b, ", %d of them accepted", s.Accepted)
	}
	if !s.Logs {
		b.WriteString("; it reads no answers")
	}
	if s.Problem != "" {
		fmt.Fprintf(&b, "; %s", s.Problem)
	}
	if s.NonceProblem != "" && s.NonceProblem != s.Problem {
		fmt.Fprintf(&b, "; no nonces: %s", s.NonceProblem)
	}
	if s.Lost > 0 {
		fmt.Fprintf(&b, "; too slow %s", wording.Count(s.Lost, "time"))
	}

	if proven := provenText(s); proven != "" {
		b.WriteString("\n          " + proven)
	}

	for _, one := range s.Servers {
		switch {
		case one.Silent > 0:
			fmt.Fprintf(&b, "\n          %s: %s with refusals that no event explains", one.Name,
				wording.Count(one.Silent, "source"))
		case !one.Judging && one.Problem != "":
			fmt.Fprintf(&b, "\n          %s is not compared: %s", one.Name, one.Problem)
		}
		if one.ProofProblem != "" && s.Nonces && one.ProofProblem != one.Problem {
			fmt.Fprintf(&b, "\n          %s: no sender over UDP is proven: %s", one.Name, one.ProofProblem)
		}
	}
	return b.String()
}
