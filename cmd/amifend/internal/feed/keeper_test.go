package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

// hosts returns a list of n addresses.
func hosts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "20.%d.%d.1\n", i>>8, i&255)
	}
	return b.String()
}

// desk is a keeper at work.
type desk struct {
	*Keeper
	book  *alerts.Book
	said  *logtest.Book
	lists []Named
	calls int
	stop  func()
}

func newDesk(t *testing.T, dir string, feeds ...config.Feed) *desk {
	t.Helper()
	said, log := logtest.New()
	d := &desk{book: alerts.New(alerts.Options{Log: log}), said: said}
	d.Keeper = New(Options{
		Feeds: feeds, Dir: dir, Log: log, Book: d.book,
		Lists: func(l []Named) { d.lists = l; d.calls++ },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Run(ctx) }()
	d.stop = func() { cancel(); <-ended; synctest.Wait() }
	return d
}

func (d *desk) force() int {
	if len(d.lists) == 0 {
		return -1
	}
	return len(d.lists[0].Prefixes)
}

// A list comes into force, sudden growth waits for a yes, a restart without its publisher has the
// list at once, and an old list is told, then dropped.
func TestLifeOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, path := t.TempDir(), filepath.Join(t.TempDir(), "list")
		c := config.Feed{Name: "test", File: path, Every: time.Hour}
		put := func(n int) {
			t.Helper()
			if err := os.WriteFile(path, []byte(hosts(n)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		put(3)
		d := newDesk(t, dir, c)
		pass(time.Second)
		if d.force() != 3 || d.Status()[0].State != StateCurrent {
			t.Fatalf("%d prefixes, %+v", d.force(), d.Status())
		}
		if _, err := d.Accept(t.Context(), "test"); !errors.Is(err, ErrNothing) {
			t.Errorf("nothing waits: %v", err)
		}
		if _, err := d.Accept(t.Context(), "other"); !errors.Is(err, ErrUnknown) {
			t.Errorf("an unknown feed: %v", err)
		}

		// The one before stays until somebody says yes.
		put(2000)
		pass(2 * time.Hour)
		if st := d.Status()[0]; d.force() != 3 || st.Waiting != 2000 || !strings.Contains(st.Why, "from 3 to 2000") {
			t.Fatalf("%d prefixes, %+v", d.force(), st)
		}
		if n, err := d.Accept(t.Context(), "test"); n != 2000 || err != nil {
			t.Fatal(n, err)
		}
		pass(time.Second)
		if d.force() != 2000 || d.Status()[0].Waiting != 0 {
			t.Errorf("%d prefixes, %+v", d.force(), d.Status())
		}

		// What is wrong is not taken.
		for _, text := range []string{"0.0.0.0/0\n", "<html>", ""} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			pass(8 * time.Hour)
			if d.force() != 2000 || d.Status()[0].Problem == "" {
				t.Errorf("%q: %d prefixes, %+v", text, d.force(), d.Status())
			}
		}
		d.stop()

		// A crash leaves a temporary file at most. The publisher is away.
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		d = newDesk(t, dir, c)
		pass(time.Second)
		if d.force() != 2000 || d.calls != 1 || len(d.book.Keys(alerts.FeedStale)) != 0 {
			t.Fatalf("after the restart: %d prefixes by %d calls", d.force(), d.calls)
		}
		pass(8 * 24 * time.Hour)
		if d.force() != 2000 || d.Status()[0].State != StateStale || len(d.book.Keys(alerts.FeedStale)) != 1 {
			t.Errorf("after eight days: %d prefixes, %+v", d.force(), d.Status())
		}
		pass(23 * 24 * time.Hour)
		if d.force() != 0 || d.Status()[0].State != StateDropped {
			t.Errorf("after 31 days: %d prefixes, %+v", d.force(), d.Status())
		}

		// What comes back is taken, and ends the condition.
		put(1990)
		pass(2 * time.Hour)
		if d.force() != 1990 || len(d.book.Keys(alerts.FeedStale)) != 0 {
			t.Errorf("back: %d prefixes, %v", d.force(), d.book.Keys(alerts.FeedStale))
		}

		// Another list of the same name begins anew, and none means that nothing is dropped.
		c.File += "2"
		d.SetFeeds([]config.Feed{c})
		pass(time.Second)
		if d.force() != 0 {
			t.Errorf("another list: %d prefixes", d.force())
		}
		d.SetFeeds(nil)
		pass(time.Second)
		if d.force() != -1 || len(d.Status()) != 0 {
			t.Errorf("no feeds: %v, %v", d.lists, d.Status())
		}
		d.stop()
	})
}

// A first list of more than 100,000 prefixes waits. A disk that takes nothing is told, and changes
// nothing.
func TestFirstListAndFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "gone")
		var feeds []config.Feed
		for i, n := range []int{20_000, 20_000} {
			path := filepath.Join(t.TempDir(), "list")
			text := strings.ReplaceAll(hosts(n), "20.", fmt.Sprint(20+i, "."))
			if i == 0 {
				for j := range 6 { // 120,000
					text += strings.ReplaceAll(hosts(n), "20.", fmt.Sprint(50+j, "."))
				}
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			feeds = append(feeds, config.Feed{Name: fmt.Sprint("f", i), File: path, Every: time.Hour})
		}

		d := newDesk(t, dir, feeds...)
		time.Sleep(time.Second)
		synctest.Wait()
		st := d.Status()
		if st[0].State != StateWaiting || st[0].Waiting <= mostAtFirst || st[0].Prefixes != 0 ||
			len(d.lists[1].Prefixes) < 19_000 {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(st[1].Disk, "cannot be written") {
			t.Errorf("told of the disk: %q", st[1].Disk)
		}
		d.stop()
	})
}

// A key that is replaced during a fetch is tried at once: the answer to the old one does not count.
func TestNewKeyDuringAFetch(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	c, s := publisher(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/old/") {
			close(asked)
			<-answer
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"ipaddress":["203.0.113.7"],"ID":"1"}`)
	})
	c.Source, c.URL, c.Key = config.SourceAPIBAN, config.Hide(s.URL), config.Hide("old")

	_, log := logtest.New()
	got := make(chan int, 10)
	k := New(Options{
		Feeds: []config.Feed{c}, Log: log, Book: alerts.New(alerts.Options{Log: log}),
		Lists: func(l []Named) { got <- len(l[0].Prefixes) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	<-got // none yet
	<-asked
	c.Key = config.Hide("new")
	k.SetFeeds([]config.Feed{c})
	for len(k.changed.C()) > 0 {
		time.Sleep(time.Millisecond)
	}
	close(answer)

	select {
	case n := <-got:
		if n != 1 {
			t.Errorf("%d prefixes", n)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("the new key was not tried: %+v", k.Status())
	}
}

// Neither the log nor the status names a URL or a key, whatever goes wrong.
func TestNoSecretIsTold(t *testing.T) {
	c, s := publisher(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://127.0.0.1:1/"+token, http.StatusFound)
	})
	gone := c
	gone.Name, gone.URL = "gone", config.Hide("https://127.0.0.1:1/"+token)
	api := c
	api.Name, api.Source, api.Key = "api", config.SourceAPIBAN, config.Hide(token)
	said, log := logtest.New()
	k := New(Options{
		Feeds: []config.Feed{c, gone, api}, Dir: t.TempDir(), Log: log,
		Book: alerts.New(alerts.Options{Log: log}), Lists: func([]Named) {},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		st := k.Status()
		if len(st) == 3 && st[0].Problem != "" && st[1].Problem != "" && st[2].Problem != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", st)
		}
	}
	cancel()
	<-ended

	all := fmt.Sprintf("%+v %+v %v", k.Status(), said.String(), k.o.Feeds)
	for _, secret := range []string{token, s.URL, "127.0.0.1"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is told: %s", secret, all)
		}
	}
}
