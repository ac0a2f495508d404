package policy

import (
	"testing"
	"time"
)

// The score of an address is that of its explanation, and to ask for it changes nothing.
func TestScore(t *testing.T) {
	l := newLab(t)
	l.every(time.Second, guesses(2, attacker)...)
	limit := DefaultOptions().Threshold
	for range 2 {
		part := l.explain(attacker).Scores[0]
		want := Scored{Score: part.Proven + part.Forgeable, Limit: limit}
		if got := l.e.Score(hostAddr(attacker)); got != want || got.Score < 1.9 {
			t.Errorf("the score is %v, the explanation says %v", got, want)
		}
	}
	if got := l.e.Score(hostAddr("203.0.113.99")); got != (Scored{Limit: limit}) {
		t.Errorf("the score of a source that sent nothing: %v", got)
	}
}
