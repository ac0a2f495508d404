package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// phases returns the phases of the alerts of a rule, in the order in which they came.
func (l *lab) phases(rule Rule) (out []Phase) {
	all := slices.Concat(l.got, l.over)
	slices.SortStableFunc(all, func(a, b Verdict) int { return int(a.At - b.At) })
	for _, v := range all {
		if v.Rule == rule && v.Action == ActionAlert {
			out = append(out, v.Phase)
		}
	}
	return out
}

// A phone with a wrong password is told at the failure that makes it certain, hourly while it goes
// on, and when it succeeds, all with the same subject.
func TestMisconfiguredEndpointIsACondition(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	began := l.now + int64(90*time.Second)
	for range 7 {
		l.every(90*time.Second, stale("1008"))
	}
	l.quiet()
	l.every(90*time.Second, stale("1008"))
	v := l.alerted(RuleMisconfigured)
	if v.Phase != PhaseBegin || v.About != AboutEndpoint || v.Attempts != 8 || v.Count != 8 ||
		secondOf(v.Since) != secondOf(began) || v.Last/1e9 != v.At/1e9 ||
		v.Prefix.Addr() != hostAddr(office) || string(v.Account.Bytes()) != "1008" ||
		v.Rate < 0.7 || v.Rate > 0.8 {
		t.Errorf("got %s, %+v", brief(v), v)
	}

	for range 3 * 60 {
		l.every(time.Minute, stale("1008"))
	}
	last := l.now
	l.every(time.Second, success(office, "1008"))
	want := []Phase{PhaseBegin, PhaseUpdate, PhaseUpdate, PhaseEnd}
	if got := l.phases(RuleMisconfigured); !slices.Equal(got, want[:]) &&
		!slices.Equal(got, slices.Insert(want, 1, PhaseUpdate)) {
		t.Fatalf("phases %v, want %v", got, want)
	}

	end := l.over[0]
	if end.Since != v.Since || end.Last/1e9 != last/1e9 || end.Count != 188 ||
		end.Prefix != v.Prefix || end.Server != v.Server || end.About != v.About ||
		string(end.Account.Bytes()) != "1008" {
		t.Errorf("the end is told as %+v", end)
	}
	l.noBan()
}

// What is not a phone's is not told: too few, too fast, with a success in between, or a stranger's.
func TestTyposAreNotToldAsMisconfigured(t *testing.T) {
	for name, play := range map[string]func(l *lab){
		"seven over hours": func(l *lab) { l.every(time.Hour, repeat(7, stale("1008"))...) },
		"nineteen in nine minutes": func(l *lab) {
			l.every(28*time.Second, repeat(19, stale("1008"))...)
		},
		"a success after each seven": func(l *lab) {
			for range 4 {
				l.every(3*time.Minute, repeat(7, stale("1008"))...)
				l.feed(success(office, "1008"))
			}
		},
		"a success over UDP after failures over TCP": func(l *lab) {
			l.every(3*time.Minute, repeat(7, stale("1008"))...)
			l.feed(success(office, "1008"))
			l.every(3*time.Minute, repeat(7, stale("1008"))...)
		},
		"two a day": func(l *lab) {
			for range 20 {
				l.every(time.Minute, repeat(2, stale("1008"))...)
				l.wait(25 * time.Hour)
				l.feed(success(office, "1007"))
			}
		},
		"a stranger's": func(l *lab) {
			l.every(20*time.Minute, repeat(9, overStream(wrong(attacker, "1008")))...)
		},
	} {
		l := newLab(t)
		l.feed(success(office, "1007"))
		play(l)
		if n := l.count(ActionAlert, RuleMisconfigured); n != 0 || len(l.over) != 0 {
			t.Errorf("%s: got %v", name, l.told())
		}
	}
}

// Who guesses an account at the address of a phone that registers often is told, over whichever
// transport. A user who mistypes now and then is not.
func TestGuessesBetweenSuccessesAreTold(t *testing.T) {
	for name, failure := range map[string]Observation{
		"UDP": wrong(office, "1007"), "TCP": overStream(wrong(office, "1007")),
	} {
		for _, pace := range []time.Duration{20 * time.Second, time.Minute, 10 * time.Minute} {
			l := newLab(t, off(RuleSpoofSuspected))
			ok := success(office, "1007")
			if name == "TCP" {
				ok = overStream(ok)
			}
			l.feed(ok)
			for i := 0; l.count(ActionAlert, RuleProvedGuessing) == 0; i++ {
				if i > 40 {
					t.Fatalf("%s, every %v: %d guesses and no alert: %v", name, pace, i, l.told())
				}
				l.every(pace, failure)
				l.every(time.Second, ok)
			}
			l.noBan()
		}
	}

	l := newLab(t)
	l.feed(success(office, "1007"))
	for range 30 {
		l.every(time.Minute, repeat(4, overStream(wrong(office, "1007")))...)
		l.every(2*time.Hour, overStream(success(office, "1007")))
	}
	l.quiet()
}

// A phone is told by its eighth failure or within 30 minutes, whichever is later, however often it
// tries.
func TestMisconfiguredEndpointIsToldInTime(t *testing.T) {
	for _, retry := range []time.Duration{
		4 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
		5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour,
	} {
		l := newLab(t)
		l.feed(success(office, "1007"), success(office, "1001"))
		began, n := l.now, 0
		for ; len(l.got) == 0 && n < 1000; n++ {
			l.every(retry, stale("1008"))
			if retry >= time.Hour {
				l.feed(success(office, "1007")) // the others go on
			}
		}
		v := l.alerted(RuleMisconfigured)
		if took := time.Duration(v.At - began); n > 8 && took > 30*time.Minute {
			t.Errorf("every %v: told at failure %d after %v", retry, n, took)
		}
	}
}

// Each condition is over after its silence, at the very second, whenever the engine is called.
func TestConditionsEndByTime(t *testing.T) {
	for _, tt := range []struct {
		rule  Rule
		play  func(l *lab)
		pause time.Duration
	}{
		{RuleMisconfigured, func(l *lab) {
			l.feed(success(office, "1007"))
			l.every(2*time.Minute, repeat(8, stale("1008"))...)
		}, 24 * time.Hour},
		{RuleProvedGuessing, func(l *lab) {
			l.feed(registered(phone))
			l.feed(guesses(9, phone)...)
		}, 6 * time.Hour},
		{RuleAccountAttacked, func(l *lab) { l.strangers(20, "1007") }, time.Hour},
		{RuleServerAttacked, func(l *lab) { l.crowd(80) }, time.Hour},
		{RuleSpoofFlood, func(l *lab) {
			l.e.opt.ForgeablePerMinute = 1
			l.crowd(1)
			for i := range 5 {
				l.feed(guesses(4, spoofed(i))...)
			}
		}, time.Hour},
	} {
		var ends []int64
		for _, step := range []time.Duration{time.Second, 48 * time.Hour} {
			l := newLab(t)
			tt.play(l)
			last := l.now
			if l.count(ActionAlert, tt.rule) == 0 {
				t.Fatalf("%s: not told: %v", tt.rule, l.told())
			}
			for l.now < last+int64(25*time.Hour) {
				l.wait(min(step, 10*time.Minute+step/48))
			}
			for _, v := range l.over {
				if v.Rule == tt.rule && v.Phase == PhaseEnd {
					ends = append(ends, v.At)
					if d := time.Duration(v.At/1e9-last/1e9) * time.Second; d != tt.pause {
						t.Errorf("%s ended after %v, want %v", tt.rule, d, tt.pause)
					}
				}
			}
		}
		if len(ends) != 2 || ends[0] != ends[1] {
			t.Errorf("%s ended at %v, want once in each run, at the same time", tt.rule, ends)
		}
	}
}

// At most so many conditions of a kind are told one by one, the worst; the rest is one line, which
// ends too.
func TestForgedConditionsAreBounded(t *testing.T) {
	l := newLab(t)
	for i := range 3 * maxOpen {
		l.feed(success(spoofed(i), fmt.Sprint(i)))
	}
	l.drop()
	attack := func(from, to, n int) {
		for i := from; i < to; i++ {
			for j := range n {
				l.feed(wrong(spoofed(i), fmt.Sprint("x", i, "-", j)))
			}
		}
	}
	for range 10 {
		attack(0, 3*maxOpen, 6)
		l.wait(time.Minute)
	}

	begun, more := 0, 0
	for _, v := range l.got {
		if v.Rule != RuleProvedGuessing || v.Phase != PhaseBegin {
			continue
		}
		if v.About == AboutMore {
			more = v.More
			continue
		}
		begun++
	}
	if begun != maxOpen || more != 2*maxOpen {
		t.Errorf("%d began, and the line counts %d", begun, more)
	}

	l.drop()
	l.wait(7 * time.Hour)
	ended, lines := 0, 0
	for _, v := range l.over {
		if v.Rule == RuleProvedGuessing && v.Phase == PhaseEnd {
			if v.About == AboutMore {
				lines++
			} else {
				ended++
			}
		}
	}
	if ended != maxOpen || lines != 1 {
		t.Errorf("%d ended, and %d lines", ended, lines)
	}
}

// A worse condition takes the place of the smallest, which is told to give way.
func TestWorstConditionsAreTold(t *testing.T) {
	l := newLab(t)
	guess := func(from, n int, account string) {
		for i := range n {
			l.feed(wrong(fmt.Sprintf("11.%d.%d.1", (from+i)>>8, (from+i)&255), account))
		}
	}
	for i := range maxOpen {
		guess(20*i, 9, fmt.Sprint("small", i))
	}
	guess(10_000, 40, "worst")

	var told, gone []string
	for _, v := range l.got {
		if v.Rule == RuleAccountAttacked && v.Phase == PhaseBegin {
			told = append(told, string(v.Account.Bytes()))
		}
	}
	for _, v := range l.over {
		if v.Phase == PhaseYield {
			gone = append(gone, string(v.Account.Bytes()))
		}
	}
	if !slices.Contains(told, "worst") || len(gone) != 1 || !strings.HasPrefix(gone[0], "small") {
		t.Errorf("told %v, gone %v", told, gone)
	}
	if n := l.e.conditions.Count(
		conditionsIn(kindOfCondition(RuleAccountAttacked), conditionOpen),
	); n != maxOpen {
		t.Errorf("%d are open", n)
	}
}

// A flood of accounts that fail fills its own part of the table and no more.
func TestConditionsAreBoundedInMemory(t *testing.T) {
	l := newLab(t)
	for i := range maxClosed + 500 {
		source := fmt.Sprintf("10.%d.%d.7", i>>8, i&255)
		l.feed(success(source, fmt.Sprint(i)), wrong(source, fmt.Sprint(i)))
	}
	kind := kindOfCondition(RuleMisconfigured)
	if n := l.e.conditions.Count(conditionsIn(kind, conditionWatched)); n != maxClosed {
		t.Errorf("%d are watched, want %d", n, maxClosed)
	}
}

// A restart forgets no condition: it is not told as new, and ends when it is over.
func TestConditionsSurviveARestart(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	l.every(2*time.Minute, repeat(8, stale("1008"))...)
	l.every(2*time.Minute, repeat(7, stale("1007"))...) // not certain yet
	l.alerted(RuleMisconfigured)
	l.drop()

	l.e = restarted(t, l.e)
	l.every(2*time.Minute, stale("1008"))
	l.quiet()
	l.every(2*time.Minute, stale("1007")) // now it is
	if v := l.alerted(RuleMisconfigured); v.Phase != PhaseBegin || v.Count != 8 {
		t.Errorf("got %s, %+v", brief(v), v)
	}

	l.drop()
	l.e = restarted(t, l.e)
	l.feed(success(office, "1008"))
	if len(l.got) != 0 || len(l.over) != 1 || l.over[0].Count != 9 {
		t.Errorf("got %v, over %v", l.told(), l.over)
	}
}

// An attacker's name is the subject of a condition as any other, also when it is cut.
func TestConditionsOfHostileNames(t *testing.T) {
	for _, name := range []string{
		"10\r\n\x1b[31m\"1", strings.Repeat("\xff", 200), "\x00", "201 of office",
	} {
		l := newLab(t)
		l.feed(success(office, "1007"))
		l.every(2*time.Minute, repeat(8, stale(name))...)
		begin := l.alerted(RuleMisconfigured)
		l.feed(success(office, name))
		if len(l.over) != 1 ||
			string(l.over[0].Account.Bytes()) != string(begin.Account.Bytes()) {
			t.Errorf("%q: begins as %q, ends as %v", name, begin.Account.Bytes(), l.over)
		}
	}
}

// Failures of a phone that go on cost no memory: nothing is allocated for them.
func TestConditionsAllocateNothing(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	l.every(2*time.Minute, repeat(8, stale("1008"))...)
	o := stale("1008")
	if n := testing.AllocsPerRun(1000, func() {
		l.now += int64(10 * time.Second)
		o.At = l.now
		o.Session++
		l.e.Observe(o)
	}); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// Each condition is told once also where more go on than are open: a new one takes the place of one
// that was told an hour ago.
func TestEachConditionIsToldOnce(t *testing.T) {
	l := newLab(t)
	guess := func(account string) {
		for i := range accountAttackers {
			l.feed(wrong(fmt.Sprintf("11.%d.%d.1", i, len(account)), account))
		}
	}
	names := make([]string, maxOpen+20)
	told := map[string]int{}
	for hour := range 4 {
		for i := range names {
			if names[i] = fmt.Sprint("account", i); i < maxOpen || hour >= 2 {
				guess(names[i])
			}
		}
		l.wait(30 * time.Minute)
		for i := range names {
			if i < maxOpen || hour >= 2 {
				guess(names[i])
			}
		}
		l.wait(31 * time.Minute)
	}
	for _, v := range l.got {
		if v.Rule == RuleAccountAttacked && v.Phase == PhaseBegin {
			told[string(v.Account.Bytes())]++
		}
	}
	for _, name := range names {
		if told[name] != 1 {
			t.Errorf("%s was told %d times", name, told[name])
		}
	}
}
