package policy

import "testing"

// chanSIP is an event of chan_sip over UDP in a dialog.
func chanSIP(kind Kind, source, dialog string) Observation {
	o := event(kind, ServiceSIP, source, "1001", dialog)
	o.Password = kind == KindSuccessfulAuth
	if kind == KindChallengeSent {
		o.Challenge = 7
	}
	return o
}

func TestDialogsAreBounded(t *testing.T) {
	l := newLab(t)
	o := chanSIP(KindChallengeSent, attacker, "d")
	for i := range 2 * maxDialogs {
		o.Session = uint64(i)
		l.now += 1000
		o.At = l.now
		l.e.Observe(o)
	}
	if n := l.e.dialogs.Len(); n != maxDialogs {
		t.Errorf("dialogs: %d, want %d", n, maxDialogs)
	}
	sound(t, l.e)
}
