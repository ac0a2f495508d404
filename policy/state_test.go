package policy

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// A restart forgets nothing: what was exported and read again decides the same, and exports the same bytes.
func TestPropertyRestoredStateGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 400)
		cut := rapid.IntRange(0, len(os)).Draw(t, "cut")
		o := DefaultOptions()
		o.MaxSources, o.MaxBans, o.Seed = 4096, 2048, rapid.Uint64().Draw(t, "seed")
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		play(e, os[:cut], func(Observation, []Verdict) {})
		var state bytes.Buffer
		if err := e.Export(&state); err != nil {
			t.Fatal(err)
		}
		o.Seed = 0
		restored, err := Restore(o, 1<<62, bytes.NewReader(state.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := restored.Export(&again); err != nil || !bytes.Equal(state.Bytes(), again.Bytes()) {
			t.Fatalf("exported again: %v, %d bytes, want the same %d", err, again.Len(), state.Len())
		}
		restored.sources.check(t)
		restored.networks.check(t)
		restored.pairs.check(t)
		var runs [2][]Verdict
		for i, e := range []*Engine{e, restored} {
			play(e, os[cut:], func(_ Observation, vs []Verdict) {
				for _, v := range vs {
					v.Evidence = append([]Evidence(nil), v.Evidence...)
					runs[i] = append(runs[i], v)
				}
			})
		}
		if d := difference(runs[0], runs[1]); d != "" {
			t.Fatalf("verdicts differ: %s", d)
		}
	})
}

func FuzzRestore(f *testing.F) {
	e, err := New(DefaultOptions())
	if err != nil {
		f.Fatal(err)
	}
	for i, source := range world {
		o := event(KindInvalidAccountID, ServicePJSIP, source, "a", "c")
		o.At = start + int64(i)
		e.Observe(o)
		o.Kind, o.Stream, o.Session = KindSuccessfulAuth, i%2 == 0, 7
		e.Observe(o)
	}
	var state bytes.Buffer
	if err := e.Export(&state); err != nil {
		f.Fatal(err)
	}
	f.Add(state.Bytes()[:state.Len()-4])
	f.Add([]byte(stateMagic))
	o := DefaultOptions()
	o.MaxSources, o.MaxBans = 64, 32
	f.Fuzz(func(t *testing.T, data []byte) {
		data = binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(data)) // else nothing would get past the checksum
		e, err := Restore(o, 1<<62, bytes.NewReader(data))
		if err != nil {
			return
		}
		for i, source := range world {
			ob := event(KindInvalidAccountID, ServicePJSIP, source, "a", "c")
			ob.At = e.now + int64(i)*1e9
			e.Observe(ob)
		}
		e.Advance(e.now + 1e15)
		var first, second bytes.Buffer
		if err := e.Export(&first); err != nil {
			t.Fatal(err)
		}
		again, err := Restore(o, 1<<62, bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Export(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("exported again: %v", err)
		}
	})
}
