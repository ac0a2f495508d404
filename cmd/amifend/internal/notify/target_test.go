package notify

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// noon is a time of day that no quiet hours of these tests hold.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)

func newTarget(change func(*config.Target)) *target {
	t := &target{Target: config.Target{
		Name: "t", MinSeverity: "notice", Digest: time.Hour, PerHour: 20,
	}}
	if change != nil {
		change(&t.Target)
	}
	return t
}

func itemOfKind(kind, subject string) Item {
	c := alerts.Condition{
		Alert: alerts.Alert{Kind: kind, Source: subject}, Key: alerts.Key(kind, subject),
	}
	return itemOf(alerts.PhaseBegin, &c)
}

func (t *target) take(now time.Time, items ...Item) {
	for _, i := range items {
		t.add(i, wayOf(&i), now, false)
	}
}

// The kinds that the config accepts are those that there are.
func TestKindsOfTheConfig(t *testing.T) {
	want := []string{config.KindAttack, config.KindReport}
	for _, k := range alerts.Kinds() {
		want = append(want, k.Name)
	}
	got := config.NotifyKinds()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the config accepts %v, want %v", got, want)
	}
}

// What forgers can raise is gathered, spoof_flood excepted. What is critical goes in quiet hours,
// and so does trouble with the journal.
func TestWaysOfTheKinds(t *testing.T) {
	want := map[string]way{
		"attack": wayAlone, "spoof_flood": wayAlone, "restart_needed": wayAlone,
		"notify_failing": wayAlone, "weekly_report": wayAlone, "compromised_account": wayUrgent, "server_down": wayUrgent,
		"journal_failing": wayUrgent, "bans_full": wayUrgent, "ineffective_ban": wayUrgent,
	}
	for _, kind := range config.NotifyKinds() {
		i := itemOfKind(kind, "x")
		if got := wayOf(&i); got != want[kind] { // the others: wayDigest
			t.Errorf("%s goes %v, want %v", kind, got, want[kind])
		}
	}
}

// A digest has what was gathered in its time, and of each condition the latest state.
func TestDigest(t *testing.T) {
	to := newTarget(nil)
	for i := range 60 {
		to.take(noon, itemOfKind("account_attacked", fmt.Sprint(i)))
	}
	over := itemOfKind("account_attacked", "0")
	over.Phase = "resolved"
	to.take(noon.Add(time.Minute), over)
	if to.flush(noon.Add(59*time.Minute), false) || len(to.messages) != 0 {
		t.Fatal("the digest came early")
	}
	if !to.flush(noon.Add(time.Hour), false) || len(to.messages) != 1 {
		t.Fatalf("%d messages", len(to.messages))
	}
	m := to.messages[0]
	if len(m.Items) != mostItems || m.More != 60-mostItems || m.Items[0].Phase != "resolved" {
		t.Errorf("%d items and %d more, the first %+v", len(m.Items), m.More, m.Items[0])
	}
	if to.flush(noon.Add(3*time.Hour), false) {
		t.Error("an empty digest")
	}
}

// In quiet hours only urgent messages go. The others follow as one message.
func TestQuietHours(t *testing.T) {
	to := newTarget(func(c *config.Target) { c.Quiet = config.Hours{From: 22 * 60, To: 7 * 60} })
	night := noon.Add(11 * time.Hour)
	to.take(noon, itemOfKind("attack", ""))
	to.take(night, itemOfKind("attack", ""), itemOfKind("restart_needed", ""),
		itemOfKind("server_down", "pbx"), itemOfKind("journal_failing", ""))
	to.flush(night.Add(2*time.Hour), false)
	var sent []string
	for m := to.dueMessage(night); m != nil; m = to.dueMessage(night) {
		sent = append(sent, m.Items[0].Kind)
		to.delivered(m.ID, night)
	}
	if !slices.Equal(sent, []string{"server_down", "journal_failing"}) {
		t.Errorf("in the night: %v", sent)
	}

	morning := night.Add(8 * time.Hour)
	if !to.flush(morning, false) || len(to.messages) != 2 || len(to.messages[1].Items) != 2 {
		t.Errorf("in the morning: %+v", to.messages)
	}
}

// More messages than max_per_hour are gathered. Urgent ones have a larger limit, so that not even
// they come without end.
func TestMaxPerHour(t *testing.T) {
	to := newTarget(func(c *config.Target) { c.PerHour = 3 })
	for i := range 30 {
		to.take(noon, itemOfKind("restart_needed", fmt.Sprint(i)))
	}
	if len(to.messages) != 3 || len(to.gathered) != 27 {
		t.Fatalf("%d messages, %d gathered", len(to.messages), len(to.gathered))
	}
	for i := range 30 {
		to.take(noon, itemOfKind("compromised_account", fmt.Sprint(i)))
	}
	if len(to.messages) != 15 {
		t.Errorf("%d messages with the urgent ones", len(to.messages))
	}
	to.take(noon.Add(2*time.Hour), itemOfKind("restart_needed", "x"))
	if len(to.messages) != 16 {
		t.Error("the limit has no end")
	}
}

// A target that is dead for long costs bounded memory. The oldest messages make way, urgent ones
// last, and none stays for ever.
func TestDeadTargetIsBounded(t *testing.T) {
	to := newTarget(func(c *config.Target) { c.PerHour = 1000 })
	to.take(noon, itemOfKind("server_down", "first"))
	for i := range 1000 {
		to.take(noon.Add(time.Duration(i)*time.Minute), itemOfKind("restart_needed", fmt.Sprint(i)))
	}
	if len(to.messages) != mostMessages || to.dropped != 901 || !to.messages[0].Urgent {
		t.Errorf("%d messages, %d dropped", len(to.messages), to.dropped)
	}

	// Each failure makes the pause longer, up to an hour and a quarter.
	now := noon
	for i := range 12 {
		before := to.retry
		to.failed(errors.New("x"), retryFirst, now)
		if wait := to.retry.Sub(now); i > 0 && !to.retry.After(before) || wait > retryLast*5/4+1 ||
			wait < retryFirst {
			t.Errorf("after %d failures it waits %s", i+1, wait)
		}
		if to.dueMessage(now) != nil {
			t.Error("it is tried again at once")
		}
		now = to.retry
	}
	if to.dueMessage(noon.Add(5*24*time.Hour)) != nil || len(to.messages) != 0 {
		t.Errorf("%d messages are left after days", len(to.messages))
	}
}

// Of two targets, each gets what it wants.
func TestKindsAndSeverity(t *testing.T) {
	to := newTarget(func(c *config.Target) { c.Kinds = []string{"attack", "server_down"} })
	if !to.Wants("attack") || to.Wants("bans_full") || !newTarget(nil).Wants("bans_full") {
		t.Error("the kinds do not count")
	}
	i := itemOfKind("journal_failing", "")
	if severe(&i, "critical") || !severe(&i, "warning") || !severe(&i, "notice") {
		t.Error("the severity does not count")
	}
}
