package firewall

import (
	"errors"
	"testing"
	"time"
)

// Each scope counts what its bans drop, also of bans that are over, and nothing else.
func TestWhatBansDropIsCountedByScope(t *testing.T) {
	s := newSite(t, Options{})
	ensure(t, s.table)
	apply(t, s.table, ban(attacker4+"/32", ScopeAll, time.Hour),
		ban(attacker6+"/128", ScopeSIP, time.Hour))
	setDeny(t, s.table, ipSet(t, []string{phone4 + "/32"}))

	send := func(src, dst, port string, arrive bool) {
		t.Helper()
		if got := arrives(t, s.outside, s.pbx, src, dst, port, 100); got != arrive {
			t.Errorf("from %s to %s arrives: %t, want %t", src, port, got, arrive)
		}
	}
	send(attacker4, pbx4, "5060", false)
	send(attacker4, pbx4, "20000", false)
	send(attacker6, pbx6, "5060", false)
	send(attacker6, pbx6, "20000", true)
	send(phone4, pbx4, "5060", false)
	apply(t, s.table, lift(attacker4+"/32", ScopeAll))

	got, err := s.table.Dropped(t.Context())
	all, sip := got[ScopeAll], got[ScopeSIP]
	if err != nil || len(got) != 3 || all.Packets != 2 || all.Bytes < 200 || sip.Packets != 1 ||
		sip.Bytes < 100 || got[ScopeStream] != (Dropped{}) {
		t.Errorf("%+v, %v", got, err)
	}

	s.pbx.NFT(t, "flush ruleset")
	if _, err := s.table.Dropped(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("without a table: %v, want ErrGone", err)
	}
}
