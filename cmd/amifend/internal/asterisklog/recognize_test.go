package asterisklog

import (
	"testing"
)

func TestRecognize(t *testing.T) {
	for head, want := range map[string]Likeness{
		"[Nov 23 02:49:24] Asterisk 16.28.0 built by nobody\n":                Alike,
		"\n   -- an old line\n[Nov 23 02:49:24] VERBOSE[9] pbx.c: x\n":        Alike,
		"Nov 23 02:49:24 pbx asterisk[99]: NOTICE[9]: chan_sip.c:1 in f: x\n": Alike,
		"root:x:0:0:root:/root:/bin/bash\n":                                   Unlike,
		"[section]\nkey = value\n":                                            Unlike,
		"Nov 23 02:49:24 pbx sshd[99]: Failed password\n":                     Perhaps,
		"": Unlike,
	} {
		if got := Recognize([]byte(head)); got != want {
			t.Errorf("%q: %v, want %v", head, got, want)
		}
	}
}
