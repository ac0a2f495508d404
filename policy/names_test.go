package policy

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseKindTakesAsteriskNamesOnly(t *testing.T) {
	// The Event headers of Asterisk 22, main/manager.c and main/security_events.c.
	names := strings.Fields(
		`FailedACL InvalidAccountID SessionLimit MemoryLimit LoadAverageLimit RequestNotSupported
		RequestNotAllowed AuthMethodNotAllowed RequestBadFormat SuccessfulAuth UnexpectedAddress ChallengeResponseFailed
		InvalidPassword ChallengeSent InvalidTransport`,
	)
	seen := map[Kind]bool{}
	for _, name := range names {
		k, ok := ParseKind(name)
		if !ok || k.String() != name || seen[k] {
			t.Errorf("%s: got %v, %v", name, k, ok)
		}
		seen[k] = true
	}
	if len(seen) != int(KindInjection)-1 {
		t.Errorf("kinds: got %d, want %d", len(seen), KindInjection-1)
	}
	for _, name := range []string{"", "none", "injection", "failedacl", "InvalidAccountID ", "FullyBooted"} {
		if k, ok := ParseKind(name); ok {
			t.Errorf("%q: got %v", name, k)
		}
	}
	if KindCount.String() != "unknown" {
		t.Errorf("got %v", KindCount)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		ScopeNone.String(): "none", ScopeSIP.String(): "sip", ScopeAll.String(): "all",
		ActionBan.String(): "ban", ActionUnban.String(): "unban", ActionAlert.String(): "alert",
		ServicePJSIP.String(): "PJSIP", ServiceSIP.String(): "SIP",
		ServiceAMI.String(): "AMI", ServiceOther.String(): "other",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLabelKeepsPartAndKnowsTheWhole(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 64<<10)
	a, b := hasher.Label(long), hasher.Label(long[1:])
	if !bytes.Equal(a.Bytes(), long[:labelText]) {
		t.Errorf("kept %q", a.Bytes())
	}
	if a == b {
		t.Error("labels of different names are equal")
	}
	if a != hasher.Label(bytes.Clone(long)) {
		t.Error("labels of one name differ")
	}
	if NewHasher(FixedSeed+1).Label(long) == a ||
		NewHasher(FixedSeed+1).Session(long) == hasher.Session(long) {
		t.Error("the seed changes nothing")
	}
	if l := hasher.Label(nil); len(l.Bytes()) != 0 {
		t.Errorf("empty name: got %q", l.Bytes())
	}
}
